"""Zones of radiofrequency and of freezing with heating: charts as prior, freezing bioheat, cover, liver share, margins."""

"""Damaged and hostile files by the thousand: nothing may crash, hang or eat the memory.

``seeds`` gathers healthy files, ``mutate`` damages one, ``targets`` reads it in every way the program can,
``workers`` does that in processes of their own, ``python -m tests.fuzz`` runs it for long.
"""

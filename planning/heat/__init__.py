"""Heat of a pulse train: Joule heat, bioheat, damage, and the current's rise with temperature."""

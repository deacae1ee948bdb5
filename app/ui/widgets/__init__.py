"""Small widgets that panels and dialogs are built of."""

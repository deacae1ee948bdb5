"""Views: the panes of the window and what is drawn over them."""

"""Mouse tools: what a press, a drag and a release mean while a tool is in hand."""

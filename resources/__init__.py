"""Data only: protocols, devices, tissues, exports, translations, icons, style, documentation."""

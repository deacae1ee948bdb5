"""What the needles do: devices, pulses and tissues as values, the field, the zone, the margin."""

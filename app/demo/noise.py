"""Noise with the texture of filtered back-projection."""

from __future__ import annotations

import numpy as np
from scipy import fft


def ct_noise(rng: np.random.Generator, shape: tuple[int, int, int], pixel_mm: float, sd_hu: float) -> np.ndarray:
    """Noise ``[k, j, i]`` (float32) of standard deviation ``sd_hu``.

    Its in-plane power rises as the frequency and falls off again with the kernel, as after a ramp
    filter with a soft window; slices are independent but for a light overlap.
    """
    white = rng.standard_normal((shape[0] + 1, shape[1], shape[2]), dtype=np.float32)
    white = 0.9 * white[1:] + 0.3 * white[:-1]
    fy = fft.fftfreq(shape[1], pixel_mm)[:, None]
    fx = fft.rfftfreq(shape[2], pixel_mm)[None, :]
    f = np.hypot(fx, fy)
    gain = np.sqrt(f + 0.01) * np.exp(-((f / 0.45) ** 2))
    spectrum = fft.rfft2(white, axes=(1, 2), workers=2)
    spectrum *= gain.astype(np.float32)
    out = fft.irfft2(spectrum, s=shape[1:], axes=(1, 2), workers=2)
    return (out * np.float32(sd_hu / out.std())).astype(np.float32)

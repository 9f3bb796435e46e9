"""Sound files for sound_on: a plain sine as RIFF WAV."""

import wave
from pathlib import Path

import numpy as np


def write_tone(path: Path, hertz: float, seconds: float, *, level: float = 0.4, rate: int = 44_100) -> Path:
    """16-bit stereo PCM; `level` is the amplitude, 1 = full scale."""
    time = np.arange(int(seconds * rate)) / rate
    samples = (np.sin(2 * np.pi * hertz * time) * level * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(samples, 2).tobytes())
    return path

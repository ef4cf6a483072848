"""synth: what the monitors would show, hour by hour.

Comes in: stays with their hidden severity. Goes out: each signal `(stays, hours)` in its unit. Every signal answers to
one or two failing organs, to the time of day, to the patient's own usual value, and to noise that fades over hours.
All in double precision, where processors that round the last bit otherwise still agree on what is written down.
"""

import numpy as np

from mortcond.synth.people import ORGANS, Stays

FADING = 0.85  # autocorrelation of the noise from one hour to the next


def signals(stays: Stays, hours: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the signals of `stays` over the first `hours` hours, each `(stays, hours)`."""
    severity = _severity(stays, hours)
    noise = _noise(len(stays), hours, len(ORGANS) + len(_NOISY), generator)
    usual = dict(zip(_NOISY, generator.standard_normal((len(_NOISY), len(stays), 1)), strict=True))
    organ = {name: 0.8 * severity + 0.7 * stays.organs[:, k, None] + 0.4 * noise[k] for k, name in enumerate(ORGANS)}
    wander = {name: noise[len(ORGANS) + k] + 0.6 * usual[name] for k, name in enumerate(_NOISY)}
    size = generator.standard_normal((2, len(stays), 1))  # height and weight
    return {"severity": severity} | _vital_signs(stays, organ, wander) | _chemistry(stays, organ, wander, size)


_NOISY = ("heart", "pressure", "pulse", "breath", "oxygen", "warmth", "mind", "sugar", "acid", "blood", "salt", "liver")


def _severity(stays: Stays, hours: int) -> np.ndarray:
    """Return severity `(stays, hours)`: as at admission, then with the trend for three days."""
    time = np.minimum(np.arange(hours), 72) / 48 - 0.25
    return stays.severity[:, None] + 1.1 * stays.trend[:, None] * time


def _noise(stays: int, hours: int, channels: int, generator: np.random.Generator) -> np.ndarray:
    """Return unit-variance autoregressive noise `(channels, stays, hours)`."""
    noise = generator.standard_normal((hours, channels, stays))
    noise[1:] *= np.sqrt(1 - FADING**2)
    for hour in range(1, hours):
        noise[hour] += FADING * noise[hour - 1]
    return noise.transpose(1, 2, 0)


def _vital_signs(stays: Stays, organ: dict, wander: dict) -> dict[str, np.ndarray]:
    hours = organ["brain"].shape[1]
    start = stays.entered.astype("datetime64[h]").astype(np.int64) % 24
    day = np.cos((start[:, None] + np.arange(hours) - 16) * (2 * np.pi / 24))  # highest at four
    child = (stays.age < 12)[:, None]
    warmth = 36.9 + 0.2 * day + 0.35 * wander["warmth"] + _fever(stays, organ)
    mean = 79 - 6.5 * organ["circulation"] + 8 * wander["pressure"] + 2 * day
    pulse = np.maximum(60 - 3.5 * organ["circulation"] + 11 * wander["pulse"], 20)  # systolic minus diastolic
    ventilated = organ["breathing"] + 0.4 * wander["oxygen"] > 0.75
    heart = 84 + 7.0 * organ["circulation"] + 5 * (warmth - 37) + 9 * wander["heart"] + 3 * day + 25 * child
    coma = np.maximum(organ["brain"] + 0.4 * wander["mind"] - 0.4, 0) + 0.7 * ventilated  # some of it is sedation
    eye, motor = np.clip(np.rint(4 - 1.1 * coma), 1, 4), np.clip(np.rint(6 - 1.2 * coma), 1, 6)
    spoken = np.clip(np.rint(5 - 1.4 * coma), 1, 5)
    return {
        "heart_rate": np.maximum(heart, 25),
        "mean_pressure": np.maximum(mean, 25),
        "systolic_pressure": np.maximum(mean + pulse * 2 / 3, 35),
        "diastolic_pressure": np.maximum(mean - pulse / 3, 15),
        "respiratory_rate": np.clip(18.5 + 2.3 * organ["breathing"] + 3 * wander["breath"], 4, 60),
        "oxygen_saturation": np.clip(97.6 - 1.3 * np.maximum(organ["breathing"], -1) + 1.1 * wander["oxygen"], 55, 100),
        "temperature": warmth,
        "eye_opening": eye,
        "motor_response": motor,
        "verbal_response": np.where(ventilated, 0, spoken),
        "coma_scale": eye + motor + np.where(ventilated, 1, spoken),
        "ventilated": ventilated,
        "inspired_oxygen": np.clip(0.45 + 0.08 * organ["breathing"] + 0.06 * wander["oxygen"], 0.21, 1.0),
        "refill": (organ["circulation"] + 0.5 * wander["pressure"] > 1.2).astype(float),
    }


def _fever(stays: Stays, organ: dict) -> np.ndarray:
    """Return degrees above normal: the ill run a fever, some of the most ill grow cold instead."""
    cold = (stays.organs[:, ORGANS.index("circulation")] > 0.9)[:, None]
    heat = 0.3 * np.maximum(organ["circulation"], 0)
    return np.where(cold, -1.2 * heat, heat)


def _chemistry(stays: Stays, organ: dict, wander: dict, size: np.ndarray) -> dict[str, np.ndarray]:
    kidney, circulation, breathing = organ["kidney"], organ["circulation"], organ["breathing"]
    male, hours = stays.male[:, None], kidney.shape[1]
    adult = np.clip(stays.age[:, None] / 18, 0.05, 1)
    height = np.where(male, 176, 163) * adult**0.35 + 7 * size[0]
    weight = np.where(male, 86, 73) * adult + 15 * adult * size[1]
    flat = np.ones((1, hours))
    return {
        "weight": np.maximum(weight, 2.5) * flat,
        "height": height * flat,
        "glucose": np.exp(4.87 + 0.10 * kidney + 0.2 * wander["sugar"]),
        "ph": 7.40 - 0.027 * kidney - 0.027 * circulation + 0.03 * wander["acid"],
        "lactate": np.exp(0.4 + 0.35 * circulation + 0.25 * wander["acid"]),
        "urea": np.exp(3.0 + 0.3 * kidney + 0.3 * wander["salt"]),
        "creatinine": np.exp(0.05 + 0.35 * kidney + 0.3 * wander["salt"]),
        "sodium": 138.5 + 3.2 * wander["salt"],
        "potassium": 4.1 + 0.15 * kidney + 0.35 * wander["acid"],
        "bicarbonate": np.maximum(24 - 1.3 * kidney - 1.0 * circulation + 2 * wander["acid"], 4),
        "magnesium": 2.0 + 0.05 * kidney + 0.2 * wander["blood"],
        "haematocrit": np.maximum(31 - 0.8 * circulation + 4 * wander["blood"], 12),
        "platelets": np.exp(5.25 - 0.15 * circulation + 0.35 * wander["blood"]),
        "white_cells": np.exp(2.35 + 0.12 * circulation + 0.3 * wander["warmth"]),
        "oxygen_pressure": np.exp(4.7 - 0.1 * breathing + 0.3 * wander["oxygen"]),
        "carbon_dioxide": np.maximum(40 + 1.5 * breathing + 6 * wander["breath"], 15),
        "bilirubin": np.exp(0.0 + 0.25 * circulation + 0.8 * wander["liver"]),
        "alt": np.exp(3.6 + 0.2 * circulation + 0.7 * wander["liver"]),
        "albumin": np.maximum(3.1 - 0.15 * circulation + 0.4 * wander["liver"], 1),
        "troponin": np.exp(-2.5 + 0.3 * circulation + 0.7 * wander["heart"]),
        "urine": np.maximum(np.exp(4.35 - 0.35 * kidney + 0.35 * wander["salt"]), 0),
    }

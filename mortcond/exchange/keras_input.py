"""What a Keras network takes in, as its configuration declares it.

Comes in: the configuration of a model, of Keras 2 or 3. Goes out: its hours and features, and its layers.
"""

from typing import Any

from mortcond.core.errors import InputError

MODELS = ("Sequential", "Model", "Functional", "Network")
WINDOW_HOURS = 48  # where the network takes any number of hours and nobody said how many


def input_shape(model: dict[str, Any], window: int | None) -> tuple[int, int, bool]:
    """Return the hours and features that a network takes, and whether it takes them side by side."""
    shape = _declared_shape(model)
    if shape is None or len(shape) not in (2, 3) or not isinstance(shape[-1], int):
        raise InputError(f"The network's input has the shape {shape}.", "It must be (stays, hours, features).")
    if len(shape) == 3:
        return _hours(shape[1], window), shape[-1], False
    hours = window or _first_reshape(model) or 1
    if shape[-1] % hours:
        raise InputError(f"The network's {shape[-1]} inputs are no {hours} hours.", "Give another --window.")
    return hours, shape[-1] // hours, True


def _hours(declared: int | None, window: int | None) -> int:
    if declared is not None and window not in (None, declared):
        raise InputError(f"The network takes {declared} hours, not {window}.", "Leave out --window.")
    return declared or window or WINDOW_HOURS


def _declared_shape(model: dict[str, Any]) -> list | None:
    layers = layers_of(model)
    inputs = [entry for entry in layers if entry["class_name"] == "InputLayer"]
    if len(inputs) > 1:
        names = ", ".join(str(entry["config"].get("name")) for entry in inputs)
        raise InputError(f"The network has several inputs: {names}.", "Join them to one (hours, features).")
    for entry in inputs or layers[:1]:
        config = entry["config"] if isinstance(entry["config"], dict) else {}
        for name in ("batch_input_shape", "batch_shape"):
            if config.get(name):
                return list(config[name])
        if entry["class_name"] in MODELS:
            return _declared_shape(entry)
        if "layer" in config:
            return _declared_shape({"class_name": "Sequential", "config": [config["layer"]]})
    built = model["config"].get("build_input_shape") if isinstance(model["config"], dict) else None
    built = built or (model.get("build_config") or {}).get("input_shape")
    return list(built) if built else None


def _first_reshape(model: dict[str, Any]) -> int | None:
    """Return the hours that the first Reshape makes of a row."""
    targets = (entry["config"].get("target_shape") for entry in layers_of(model) if entry["class_name"] == "Reshape")
    return next((int(target[0]) for target in targets if target and len(target) == 2 and target[0] > 0), None)


def layers_of(model: dict[str, Any]) -> list[dict[str, Any]]:
    config = model["config"]
    layers = config if isinstance(config, list) else config["layers"]
    if not layers:
        raise InputError("The network has no layers.", "Check that the file is complete.")
    return layers

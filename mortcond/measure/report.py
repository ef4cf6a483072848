"""report (growing)."""


def html(result, plots):
    return "<!doctype html><title>mortcond</title>"


def model_card(result):
    return ""

"""The Glasgow coma scale: words for points, and the total from its components.

Comes in: a text that may be points, or a relation of events. Goes out: the word of MIMIC's MetaVision charts for the
points (`gcs_points.csv`), or the relation with totals.

One point of the verbal response is charted both for a patient who gives no response and for one who cannot, with a tube
in the windpipe. The tube is taken: of such texts in the MIMIC-III demo (item 223900) 937 of 1,107 say so.
"""

import csv
from importlib import resources

from mortcond.variables import Variables
from mortcond.variables.cleaning import number, points

with (resources.files("mortcond.tables") / "gcs_points.csv").open(encoding="utf-8") as _file:
    _WORDS = {(row["item"], float(row["points"])): (row["word"], row["or"]) for row in csv.DictReader(_file)}
ITEMS = frozenset(item for item, _ in _WORDS)
COMPONENTS = ("gcs_eye", "gcs_motor", "gcs_verbal")


def word(item: str, text: str) -> str:
    """Return the word for points of an item, and every other text as it is."""
    return _WORDS.get((item, number(text)), (text, ""))[0]


def other_meaning(item: str, text: str) -> str:
    """Return the other word that the same points of an item stand for, "" where there is none."""
    return _WORDS.get((item, number(text)), (text, ""))[1]


def with_total(relation: str, time: str, variables: Variables) -> str:
    """Return SQL of all events, with the sum of the three components wherever a total is wanted and not measured.

    Parameters
    ----------
    relation
        Name of a relation with stay_id, variable, value and a time, at most one value for each of these.
    time
        The name of its column of times.
    """
    rules = [variable.rule for variable in variables]
    if "gcs_total" not in rules or not set(COMPONENTS) <= set(rules):
        return f"SELECT stay_id, {time}, variable, value FROM {relation}"
    total = rules.index("gcs_total")
    scores = [
        f"WHEN variable = {rules.index(rule)} AND value = {category} THEN {points(name)}"
        for rule in COMPONENTS
        for category, name in enumerate(variables[rules.index(rule)].categories)
    ]
    components = ", ".join(str(rules.index(rule)) for rule in COMPONENTS)
    return f"""
        SELECT stay_id, {time}, variable, value FROM {relation}
        UNION ALL
        SELECT c.stay_id, c.{time}, {total} AS variable, CAST(c.total AS DOUBLE) AS value
        FROM (SELECT stay_id, {time}, sum(CASE {" ".join(scores)} END) AS total FROM {relation}
              WHERE variable IN ({components}) GROUP BY stay_id, {time} HAVING count(*) = 3) c
        LEFT JOIN (SELECT stay_id, {time} FROM {relation} WHERE variable = {total}) t
          ON t.stay_id = c.stay_id AND t.{time} = c.{time}
        WHERE t.stay_id IS NULL
    """

"""The total of the Glasgow coma scale from its components. Comes in: a relation of events. Goes out: it with totals."""

from mortcond.variables import Variables
from mortcond.variables.cleaning import points

COMPONENTS = ("gcs_eye", "gcs_motor", "gcs_verbal")


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

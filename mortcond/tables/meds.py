"""The Medical Event Data Standard (MEDS) -> stays and events, by the benchmark's rules as far as MEDS can follow them.

Comes in: a folder with `data/**/*.parquet` (subject_id, time, code, numeric_value; where they are there, text_value,
hadm_id, icustay_id) and `metadata/` (subject_splits.parquet is the split); with --outcomes a file or folder of MEDS
labels (subject_id, prediction_time, boolean_value). Goes out: `Records`.

The codes of MIMIC-IV in MEDS are known by patterns; for another hospital's the table of variables needs a column meds.
An event belongs to the ICU stay in whose time it lies.
"""

from functools import partial
from pathlib import Path

import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables import Records, Request, cells, charted, meds_codes, meds_stays, mimic3_cohort, scan
from mortcond.tables.charted import Rules
from mortcond.tables.meds_codes import Codes
from mortcond.tables.mimic3_cohort import ADULT_YEARS, Cohort
from mortcond.tables.scan import Table, literal, parquet_sql
from mortcond.variables import Variables

COLUMNS = ("subject_id", "time", "code", "numeric_value")
OPTIONAL = ("text_value", "hadm_id", "icustay_id")
IDS = ("subject_id", "hadm_id", "icustay_id")
PARSED = dict.fromkeys(IDS, "whole") | {"time": "seconds"}
LABELS = ("subject_id", "prediction_time", "boolean_value")
SPLITS = {"train": "train", "tuning": "val", "held_out": "test"}
RULES = Rules(early=True, points=True)


def detect(source: Path) -> bool:
    """Say whether a folder holds MEDS: Parquet files below data/, with the columns subject_id, time and code."""
    first = next(_data_files(source), None) if source.is_dir() else None
    try:
        return first is not None and all(map(scan.single(first).has, COLUMNS[:3]))
    except InputError:
        return False


def read(source: Path, variables: Variables, request: Request) -> Records:
    """Read a MEDS data set; see `tables.read`."""
    items = charted.items_of(variables, "meds", "mimic4", "mimic3")
    data = _data(source)
    with scan.connect(request.scratch, request.memory_limit, request.threads) as connection:
        codes = _codes(connection, data, items)
        cohort = _cohort(connection, source, data, codes, request)
        charted.store_kept(connection, cohort.root, request)
        notes = _hits(connection, data, codes, items, variables, request)
        locate = partial(_locate, data, items)
        settled = charted.settle(connection, items, variables, request, locate, RULES)
    splits = cohort.left.set_index("stay_id").split
    stays, attrition, dropped = mimic3_cohort.finish(cohort, settled.with_events, settled.in_window, request)
    stays["split"] = stays.stay_id.map(splits).astype(stays.split.dtype)
    files = tuple(path for table in cohort.tables for path in table.files)
    return Records("meds", stays, settled.events, attrition, dropped, cohort.notes + notes + settled.notes, files)


def _data_files(source: Path):
    return iter(sorted(path for path in (source / "data").rglob("*.parquet") if path.is_file()))


def _data(source: Path) -> Table:
    files = list(_data_files(source))
    if not files:
        raise InputError(f"{source} has no data/**/*.parquet.", "Name the folder that holds data/ and metadata/.")
    return scan.joined("data", files)


def _codes(connection, data: Table, items: list[charted.Item]) -> Codes:
    """Sort out the codes of the data set, and keep those that measure an item in the table `codes`.

    Raises InputError where no code is an item.
    """
    found = scan.frame(connection, f"SELECT DISTINCT code FROM {data.sql(('code',))} e WHERE code IS NOT NULL", (data,))
    codes = meds_codes.sort_out(found.code.tolist(), items)
    if not codes.measured:
        problem = f"None of the {len(found):,} codes of {data.files[0]} and its like measures a variable."
        raise InputError(problem, "Give --variables with a column meds that holds this hospital's codes.")
    return codes


def _cohort(connection, source: Path, data: Table, codes: Codes, request: Request) -> Cohort:
    """Return the root cohort: stays of adults without transfer, one an admission; with `died` if labels are asked."""
    events = _stay_events(connection, data, codes, request)
    stays = meds_stays.with_admissions(meds_stays.icu_stays(events, codes), events, codes)
    stays = meds_stays.with_people(stays, events, codes)
    splits = scan.find(source / "metadata", "subject_splits") if (source / "metadata").is_dir() else None
    stays["split"] = _splits(connection, splits, stays) if splits else ""
    cohort = Cohort(stays, (data, *filter(None, [splits])))
    cohort.keep("start", "an ICU stay", pd.Series(True, stays.index))
    same_unit = stays.last_careunit.isna() | (stays.first_careunit == stays.last_careunit)
    cohort.keep("icu_transfer", "no transfer (same care unit at ICU_ADMISSION and ICU_DISCHARGE)", same_unit)
    admitted = cohort.left.known | (not request.labels)
    cohort.keep("no_admission", "an admission to hospital (HOSPITAL_ADMISSION)", admitted)
    single = ~cohort.left.hadm_id.duplicated(keep=False)
    cohort.keep("multiple_stays_per_admission", "an admission with no other stay left", single)
    adult = f"a patient of {ADULT_YEARS} years or more (from MEDS_BIRTH)"
    cohort.keep("age_lt_18", adult, cohort.left.age >= ADULT_YEARS)
    died = cohort.left.died
    if request.labels and request.outcomes is not None:
        cohort, died = _labelled(connection, cohort, request)
    cohort.diagnosis_rule = "a diagnosis (DIAGNOSIS//...), where the data set has any"
    found = meds_stays.diagnosed(cohort.left, events, codes) | (not request.labels)
    cohort.left = mimic3_cohort.with_task_facts(cohort.left, found, died, request)
    return cohort


def _stay_events(connection, data: Table, codes: Codes, request: Request) -> pd.DataFrame:
    """Return the events that tell of stays: subject_id, seconds, code, hadm_id and icustay_id (NA: not told).

    Ids are whole numbers of 64 bits (Int64): a float would make others of them beyond 2^53.
    """
    scan.store(connection, request.scratch, "stay_codes", pd.DataFrame({"code": sorted(codes.of_stays)}, dtype="str"))
    sql = f"""
        SELECT {", ".join(f"CAST({_parsed('e', id)} AS VARCHAR) AS {id}" for id in IDS)},
               {_parsed("e", "time")} AS seconds, e.code
        FROM {data.sql(COLUMNS[:3], OPTIONAL)} e JOIN stay_codes c ON c.code = e.code
    """
    events = scan.frame(connection, sql, (data,), PARSED)
    ids = {id: cells.read(events[id], "whole")[0] for id in IDS}
    return events.assign(**ids).dropna(subset="subject_id").astype({"subject_id": "int64"})


def _splits(connection, table: Table, stays: pd.DataFrame) -> pd.Series:
    """Return the split of each stay, by the file of the data set."""
    rows = scan.frame(connection, f"SELECT * FROM {table.sql(('subject_id', 'split'))} s", (table,))
    rows = mimic3_cohort.whole_numbers(rows, table, ("subject_id",)).dropna(subset="subject_id")
    unknown = sorted(set(rows.split.dropna()) - set(SPLITS))
    if unknown:
        raise InputError(f"{table.files[0]}: {unknown[0]!r} is no split.", f"MEDS knows {', '.join(SPLITS)}.")
    by_subject = rows.drop_duplicates("subject_id").set_index("subject_id").split.map(SPLITS)
    return stays.subject_id.map(by_subject).fillna("")


def _labelled(connection, cohort: Cohort, request: Request) -> tuple[Cohort, pd.Series]:
    """Keep the stays that a MEDS label file tells of; return the outcomes too.

    A label belongs to the subject's stay in whose time its prediction_time lies.

    Raises InputError where a stay has two outcomes.
    """
    table = _label_table(request.outcomes)
    labels = scan.frame(connection, f"SELECT * FROM {table.sql(LABELS)} l", (table,))
    labels = mimic3_cohort.whole_numbers(labels, table, ("subject_id",)).dropna(subset="subject_id")
    labels = mimic3_cohort.dates(labels, table, required=("prediction_time",), optional=())
    labels["outcome"] = labels.boolean_value.str.lower().map({"true": 1, "false": 0, "1": 1, "0": 0})
    mimic3_cohort.refuse_text(labels, table, labels.outcome.isna(), "boolean_value", "neither true nor false")
    pairs = cohort.left[["subject_id", "stay_id", "intime", "outtime"]].merge(labels, on="subject_id")
    inside = (pairs.prediction_time >= pairs.intime) & ~(pairs.prediction_time > pairs.outtime)
    outcomes = pairs[inside].groupby("stay_id").outcome.agg(["min", "max"])
    if (outcomes["min"] != outcomes["max"]).any():
        stay = outcomes.index[outcomes["min"] != outcomes["max"]][0]
        raise InputError(f"{request.outcomes}: stay {stay} has two outcomes.", "Keep one label a stay.")
    labelled = cohort.left.stay_id.isin(outcomes.index)
    cohort.keep("no_label", f"a label in {request.outcomes.name} (prediction_time within the stay)", labelled)
    cohort.tables += (table,)
    return cohort, cohort.left.stay_id.map(outcomes["max"]).astype("uint8")


def _label_table(path: Path) -> Table:
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise InputError(f"There are no labels at {path}.", "Check the path given to --outcomes.")
    return scan.joined("labels", files)


def _hits(connection, data: Table, codes: Codes, items, variables: Variables, request: Request) -> tuple[str, ...]:
    """Make the view `hits` of the rows that measure an item within a stay's time; return notes."""
    rows = [(code, ref, unit) for code, (ref, unit) in codes.measured.items()]
    scan.store(connection, request.scratch, "codes", pd.DataFrame(rows, columns=["code", "ref", "unit"]))
    path = request.scratch / "hits.parquet"
    early = max(charted.early_seconds(variables).values(), default=0)
    sql = f"""
        SELECT k.subject_id, k.stay_id, e.seconds, e.ref, e.value, coalesce(e.unit, '') AS unit FROM (
            SELECT {_parsed("d", "subject_id")} AS subject_id, c.ref, c.unit, {_parsed("d", "time")} AS seconds,
                   {_text_sql("d")} AS value
            FROM {data.sql(COLUMNS, OPTIONAL)} AS d JOIN codes AS c ON c.code = d.code
        ) e JOIN kept AS k ON k.subject_id = e.subject_id
          AND e.seconds >= k.intime - {early} AND e.seconds <= coalesce(k.outtime, e.seconds)
    """
    copy = f"COPY ({sql}) TO {literal(path)} (FORMAT parquet)"
    scan.run(connection, copy, request.console, "Reading data", (data,), PARSED)
    connection.execute(f"CREATE VIEW hits AS SELECT * FROM {parquet_sql(path)} WHERE value IS NOT NULL")
    stored = "laboratory results (LAB//RESULT) stand at the time they were stored, later than the sample was taken"
    return _valueless(connection, path, items, variables) + ((stored,) if codes.stored else ())


def _parsed(relation: str, column: str) -> str:
    """Return what a cell means; fails where it is something else."""
    cell, kind = f"{relation}.{column}", PARSED[column]
    return cells.READERS[kind](cell, cells.raising(cell, kind))


def _text_sql(relation: str) -> str:
    """Return the value of an event as text: the text where there is one, else the number as a hospital writes it."""
    number = f"CASE WHEN ends_with({relation}.numeric_value, '.0') THEN {relation}.numeric_value[:-3] "
    number += f"ELSE {relation}.numeric_value END"
    return f"coalesce(nullif({relation}.text_value, ''), {number})"


def _valueless(connection, path: Path, items, variables: Variables) -> tuple[str, ...]:
    """Say of which variables there are rows with neither a number nor a text."""
    sql = f"SELECT ref, count(*) FROM {parquet_sql(path)} WHERE value IS NULL GROUP BY ref"
    lost: dict[str, int] = {}
    for ref, count in connection.execute(sql).fetchall():
        name = variables[items[ref].variable].name
        lost[name] = lost.get(name, 0) + count
    return tuple(f"{name}: {count:,} rows have neither a number nor a text" for name, count in sorted(lost.items()))


def _locate(data: Table, items, ids: set[str], text: str) -> str:
    wanted = [item for item in items if item.item in ids]

    def matches(row: dict[str, str]) -> bool:
        number = row.get("numeric_value", "").removesuffix(".0")
        return (row.get("text_value") or number) == text and bool(
            meds_codes.sort_out([row.get("code", "")], wanted).measured
        )

    return scan.locate(data, matches) or str(data.files[0])

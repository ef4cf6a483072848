"""MEDS: stays from events, codes of several versions, splits, labels, and the open demo against its tables."""

from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from mimic3_tables import at, category, read, tensor, text

from mortcond import tables
from mortcond.core.errors import InputError
from mortcond.tables import meds_codes
from mortcond.tables.charted import Item
from mortcond.variables import load

UNIT = "Medical Intensive Care Unit (MICU)"
TYPES = {
    "subject_id": "BIGINT",
    "time": "TIMESTAMP",
    "code": "VARCHAR",
    "numeric_value": "FLOAT",
    "text_value": "VARCHAR",
}
TYPES |= {"text_value": "VARCHAR", "hadm_id": "BIGINT", "icustay_id": "BIGINT"}


def write_parquet(path: Path, rows: list[dict], types: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows, columns=list(types), dtype="str")
    table.to_csv(path.with_suffix(".csv"), index=False)
    picked = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in types.items())
    source = f"read_csv('{path.with_suffix('.csv')}', all_varchar = true, header = true, delim = ',')"
    duckdb.sql(f"COPY (SELECT {picked} FROM {source}) TO '{path}' (FORMAT parquet)")
    path.with_suffix(".csv").unlink()


@dataclass
class Meds:
    """Events, one after the other; `stay` adds those of a whole stay that qualifies unless told otherwise."""

    events: list[dict] = field(default_factory=list)
    columns: tuple[str, ...] = ("subject_id", "time", "code", "numeric_value")

    def add(self, code, hours=None, number=None, subject=1, **more) -> "Meds":
        time = None if hours is None else hours if isinstance(hours, str) else text(at(hours))
        row = {"subject_id": subject, "time": time, "code": code, "numeric_value": number} | more
        self.events.append({key: None if value is None else str(value) for key, value in row.items()})
        return self

    def stay(self, subject=1, hours=72.0, begin=0.0, birth="2080-06-15 00:00:00", left="HOME", last=UNIT) -> "Meds":
        self.add("GENDER//F", subject=subject).add("MEDS_BIRTH", birth, subject=subject)
        self.add("HOSPITAL_ADMISSION//EW EMER.//EMERGENCY ROOM", begin - 10, subject=subject)
        self.add(f"ICU_ADMISSION//{UNIT}", begin, subject=subject)
        self.add(f"ICU_DISCHARGE//{last}", begin + hours, subject=subject)
        return self.add(f"HOSPITAL_DISCHARGE//{left}", begin + 240, subject=subject)

    def write(self, folder: Path, shards=1) -> Path:
        types = {name: TYPES[name] for name in self.columns}
        for shard in range(shards):
            write_parquet(folder / "data" / "train" / f"{shard}.parquet", self.events[shard::shards], types)
        (folder / "metadata").mkdir(exist_ok=True)
        return folder


def records_of(meds: Meds, tmp_path, variables="paper76", **options):
    return read(meds.write(tmp_path / "in"), tmp_path / "scratch", variables, form=None, **options)


# The demo


@pytest.mark.parametrize("variables", ["paper76", "extended"])
def test_demo_equals_its_tables_in_every_cell(variables, test_data, tmp_path):
    if not (test_data / "mimic4-demo-meds").is_dir():
        pytest.skip("no MIMIC-IV demo here")
    meds = read(test_data / "mimic4-demo-meds", tmp_path / "1", variables, form=None)
    rows = read(test_data / "mimic4-demo", tmp_path / "2", variables, form=None)
    order = np.argsort(_stay_ids_of_the_tables(meds, test_data), kind="stable")
    assert (meds.source, len(meds.stays), meds.stays.died.sum()) == ("meds", 54, 9)
    for fact in ("subject_id", "died", "age", "sex", "icu_type"):
        assert meds.stays[fact].tolist() == rows.stays[fact].iloc[np.argsort(order)].tolist()
    X, of_tables = tensor(meds, variables), tensor(rows, variables)
    for name in X:
        np.testing.assert_array_equal(X[name][order], of_tables[name], err_msg=name)


def _stay_ids_of_the_tables(meds, test_data) -> list[int]:
    stays = pd.read_csv(test_data / "mimic4-demo" / "icu" / "icustays.csv.gz").sort_values(["subject_id", "intime"])
    number = stays.subject_id * 1000 + stays.groupby("subject_id").cumcount() + 1
    return meds.stays.stay_id.map(dict(zip(number, stays.stay_id, strict=True))).tolist()


# Stays


def test_a_stay_of_its_events(tmp_path):
    records = records_of(Meds().stay().add("LAB//220045//bpm", 0.5, 88).add("LAB//220045//bpm", 80, 99), tmp_path)
    assert records.stays.iloc[0].to_dict() | {"split": ""} == {
        "stay_id": 1001, "subject_id": 1, "died": 0, "age": 49.0, "sex": "F", "icu_type": UNIT, "split": ""
    }  # fmt: skip
    assert tensor(records)["Heart Rate"][0].tolist() == [88] * 48


@pytest.mark.parametrize(("left", "died"), [("DIED", 1), ("HOSPICE", 0)])
def test_death_is_told_by_the_discharge_and_not_by_meds_death(left, died, tmp_path):
    meds = Meds().stay(left=left).add("MEDS_DEATH", 24 * 90).add("LAB//220045//bpm", 0.5, 88)
    assert records_of(meds, tmp_path).stays.died.tolist() == [died]


def test_an_admission_goes_with_the_next_discharge_from_the_icu(tmp_path):
    meds = Meds().stay(hours=20).stay(begin=1000, hours=60).add("LAB//220045//bpm", 1000.5, 70)
    records = records_of(meds.add("LAB//220045//bpm", 0.5, 80), tmp_path)
    assert records.stays.stay_id.tolist() == [1002]
    assert records.dropped.to_numpy().tolist() == [[1001, "los_lt_48h"]]
    assert tensor(records)["Heart Rate"][0, 0] == 70


def test_stays_are_paired_by_their_ids_where_there_are_any(tmp_path):
    meds = Meds(columns=tuple(TYPES)).stay().add("LAB//220045//bpm", 0.5, 88, icustay_id=7, hadm_id=5)
    for event in meds.events:
        ours = event["code"].startswith(("ICU_", "HOSPITAL_"))
        event |= {"icustay_id": "7" if event["code"].startswith("ICU_") else None, "hadm_id": "5" if ours else None}
    assert records_of(meds, tmp_path).stays.stay_id.tolist() == [7]


def test_two_stays_in_one_admission_and_a_transfer_are_dropped(tmp_path):
    meds = Meds().stay().stay(2, last="Coronary Care Unit (CCU)").stay(3).add("LAB//220045//bpm", 0.5, 70, subject=3)
    meds.add(f"ICU_ADMISSION//{UNIT}", 100).add(f"ICU_DISCHARGE//{UNIT}", 170)
    dropped = {step.step: step.dropped for step in records_of(meds, tmp_path).attrition}
    assert (dropped["multiple_stays_per_admission"], dropped["icu_transfer"]) == (2, 1)


def test_without_labels_a_patient_who_is_still_there_is_kept(tmp_path):
    meds = Meds().add(f"ICU_ADMISSION//{UNIT}", 0).add("MEDS_BIRTH", "2080-01-01 00:00:00")
    records = records_of(meds.add("LAB//220045//bpm", 0.5, 88), tmp_path, labels=False)
    assert len(records.stays) == 1


def test_several_shards_are_one_data_set(tmp_path):
    meds = Meds().stay().add("LAB//220045//bpm", 0.5, 88)
    records = read(meds.write(tmp_path / "in", shards=3), tmp_path / "scratch", form=None)
    assert (len(records.stays), len(records.files)) == (1, 3)


# Codes


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("LAB//50931//mg/dL", (0, "mg/dL")),
        ("LAB//RESULT//50931//mg/dL", (0, "mg/dL")),
        ("LAB//RESULT//50931//Glucose//mg/dL", (0, "mg/dL")),
        ("LAB//50931//UNK", (0, "")),
        ("SUBJECT_FLUID_OUTPUT//50931//ml", (0, "ml")),
        ("LOINC//2345-7//mg/dL", (1, "mg/dL")),
        ("LOINC//2345-7", (1, "")),
        ("LAB//SPECIMEN_COLLECTED//50931", None),
        ("LAB//509310//mg/dL", None),
        ("LOINC//2345-70", None),
    ],
)
def test_codes_of_every_version(code, meant):
    items = [Item("50931", 0, "", True), Item("LOINC//2345-7", 0, "", True)]
    assert meds_codes.sort_out([code], items).measured.get(code) == meant


def test_results_at_their_store_time_are_told(tmp_path):
    records = records_of(Meds().stay().add("LAB//RESULT//50931//mg/dL", 0.5, 140), tmp_path)
    assert tensor(records)["Glucose"][0, 0] == 140
    assert any("at the time they were stored" in note for note in records.notes)


def test_a_table_of_variables_of_one_s_own(tmp_path):
    table = tmp_path / "own.csv"
    table.write_text("name,kind,unit,meds\nHeart Rate,number,1/min,LOINC//8867-4\n")
    records = records_of(Meds().stay().add("LOINC//8867-4//bpm", 0.5, 88), tmp_path, load(table))
    assert tensor(records, load(table))["Heart Rate"][0, 0] == 88


def test_the_text_counts_before_the_number(tmp_path):
    meds = Meds(columns=(*Meds().columns, "text_value")).stay()
    meds.add("LAB//223900//UNK", 0.5, 1, text_value="No Response").add("LAB//223900//UNK", 1.5, 1)
    X = tensor(records_of(meds, tmp_path))
    verbal = "Glascow coma scale verbal response"
    assert [category(X, verbal, hour=hour) for hour in range(2)] == ["No Response", "No Response-ETT"]


def test_rows_without_number_or_text_are_counted(tmp_path):
    meds = Meds().stay().add("LAB//223951//UNK", 0.5).add("LAB//220045//bpm", 0.5, 88)
    notes = records_of(meds, tmp_path, "extended").notes
    assert "Capillary refill rate: 1 rows have neither a number nor a text" in notes


# Splits and labels


def test_the_split_of_the_data_set(tmp_path):
    meds = Meds()
    for subject in (1, 2, 3, 4):
        meds.stay(subject).add("LAB//220045//bpm", 0.5, 88, subject=subject)
    rows = [{"subject_id": "1", "split": "train"}, {"subject_id": "2", "split": "tuning"}]
    rows.append({"subject_id": "3", "split": "held_out"})
    folder = meds.write(tmp_path / "in")
    write_parquet(folder / "metadata" / "subject_splits.parquet", rows, {"subject_id": "BIGINT", "split": "VARCHAR"})
    assert read(folder, tmp_path / "scratch", form=None).stays.split.tolist() == ["train", "val", "test", ""]


LABEL_TYPES = {"subject_id": "BIGINT", "prediction_time": "TIMESTAMP", "boolean_value": "BOOLEAN"}


def labels_of(tmp_path, *labels: tuple) -> Path:
    rows = [{"subject_id": str(s), "prediction_time": text(at(t)), "boolean_value": v} for s, t, v in labels]
    write_parquet(tmp_path / "labels" / "0.parquet", rows, LABEL_TYPES)
    return tmp_path / "labels"


def test_labels_are_the_outcomes(tmp_path):
    meds = Meds()
    for subject in (1, 2, 3):
        meds.stay(subject, left="DIED").add("LAB//220045//bpm", 0.5, 88, subject=subject)
    outcomes = labels_of(tmp_path, (1, 48, "true"), (2, 48, "false"), (3, 4800, "true"))
    records = records_of(meds, tmp_path, outcomes=outcomes)
    assert records.stays[["subject_id", "died"]].to_numpy().tolist() == [[1, 1], [2, 0]]
    assert {step.step: step.dropped for step in records.attrition}["no_label"] == 1


def test_two_outcomes_of_one_stay_are_refused(tmp_path):
    meds = Meds().stay().add("LAB//220045//bpm", 0.5, 88)
    with pytest.raises(InputError, match="stay 1001 has two outcomes"):
        records_of(meds, tmp_path, outcomes=labels_of(tmp_path, (1, 20, "true"), (1, 48, "false")))


# What cannot be used


def test_no_code_is_a_variable(tmp_path):
    with pytest.raises(InputError, match="None of the 6 codes"):
        records_of(Meds().stay(), tmp_path)


def test_no_icu(tmp_path):
    with pytest.raises(InputError, match="no event ICU_ADMISSION"):
        records_of(Meds().add("LAB//220045//bpm", 0.5, 88), tmp_path)


def test_a_text_that_is_no_number_is_located(tmp_path):
    meds = Meds(columns=(*Meds().columns, "text_value")).stay().add("LAB//220045//bpm", 0.5, text_value="fast")
    with pytest.raises(InputError, match=r"0.parquet, row 7: 'fast' is no number \(Heart Rate\)"):
        records_of(meds, tmp_path, strict=True)


def test_a_broken_shard_is_named(tmp_path):
    folder = Meds().stay().add("LAB//220045//bpm", 0.5, 88).write(tmp_path / "in")
    (folder / "data" / "train" / "1.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match=r"1.parquet cannot be read"):
        read(folder, tmp_path / "scratch", form="meds")


def test_other_parquet_is_no_meds(tmp_path):
    write_parquet(tmp_path / "data" / "0.parquet", [{"a": "1"}], {"a": "BIGINT"})
    with pytest.raises(InputError, match="no records of a known form"):
        tables.detect(tmp_path)


# Ids


LARGE = 2**53
IDS = ("subject_id", "time", "code", "numeric_value", "hadm_id", "icustay_id")


def large(shift: int) -> Meds:
    """Three patients whose ids a float of 64 bits takes for one another."""
    made = Meds(columns=IDS)
    for number in range(3):
        ids = {"subject": LARGE + number, "hadm_id": LARGE + shift + number, "icustay_id": LARGE + 2 * shift + number}
        for event in Meds().stay(subject=ids["subject"]).events:
            made.events.append(event | {name: str(ids[name]) for name in ("hadm_id", "icustay_id")})
        made.add("LAB//220045//bpm", 0.5, 60 + number, **ids)
    return made


def test_ids_beyond_the_floats_stay_what_they_are(tmp_path):
    records = records_of(large(10), tmp_path)
    assert records.stays.stay_id.tolist() == [LARGE + 20 + number for number in range(3)]
    assert records.stays.subject_id.tolist() == [LARGE + number for number in range(3)]
    assert tensor(records)["Heart Rate"][:, 0].tolist() == [60, 61, 62]


def test_a_stay_belongs_to_the_admission_of_its_own_id(tmp_path):
    made = large(10)
    for event in made.events:  # the last one's hospital stay begins too late to hold its ICU stay, but has its id
        if event["code"].startswith("HOSPITAL_ADMISSION") and event["hadm_id"] == str(LARGE + 12):
            event["time"] = text(at(5))
    records = records_of(made, tmp_path)
    assert records.stays.stay_id.tolist() == [LARGE + 20 + number for number in range(3)]


def test_an_id_that_lost_digits_is_refused(tmp_path):
    folder = large(10).write(tmp_path / "in")
    types = {name: "DOUBLE" if name == "icustay_id" else TYPES[name] for name in IDS}
    write_parquet(folder / "data" / "train" / "0.parquet", large(10).events, types)
    with pytest.raises(InputError, match=r"column ICUSTAY_ID: '9007199254741012.0' is no whole number"):
        read(folder, tmp_path / "scratch", form=None)


def test_a_patient_without_an_id_is_no_patient(tmp_path):
    made = Meds().stay().add("LAB//220045//bpm", 0.5, 80).add("LAB//220045//bpm", 1.5, 99, subject=None)
    folder = made.write(tmp_path / "in")
    splits = [{"subject_id": "1", "split": "held_out"}, {"subject_id": None, "split": "train"}]
    write_parquet(folder / "metadata" / "subject_splits.parquet", splits, {"subject_id": "BIGINT", "split": "VARCHAR"})
    records = read(folder, tmp_path / "scratch", form=None)
    assert records.stays.split.tolist() == ["test"]
    assert tensor(records)["Heart Rate"].max() == 80

"""The words that options take, each list of them once: the rooms' tables, the command line and Python read them here.

Only the standard library is imported: `mortcond --help` needs every one of these.
"""

from enum import StrEnum


class Preset(StrEnum):
    """How to train: as the paper did, or as measured best."""

    paper = "paper"
    best = "best"


class LearningRate(StrEnum):
    """How the learning rate goes over the epochs."""

    constant = "constant"
    cosine = "cosine"


class KeepEpoch(StrEnum):
    """Which epoch's weights count."""

    last = "last"
    best = "best"


class Summary(StrEnum):
    """What a dense or linear network sees of a stay."""

    mean = "mean"
    full = "full"
    measured = "measured"


class Format(StrEnum):
    """Forms of records, in the order of detection; each is a module of `tables`."""

    mimic4 = "mimic4"
    mimic3 = "mimic3"
    physionet2012 = "physionet2012"
    benchmark = "benchmark"
    meds = "meds"
    events = "events"


class Engine(StrEnum):
    """What scans the big tables: DuckDB here, or a cluster or database that holds them."""

    duckdb = "duckdb"
    spark = "spark"
    postgres = "postgres"


class ScoringEngine(StrEnum):
    """Where stays are scored: here, or on a cluster."""

    local = "local"
    spark = "spark"


class Dialect(StrEnum):
    """Kinds of SQL in which the scan can be printed."""

    duckdb = "duckdb"
    postgres = "postgres"
    spark = "spark"
    databricks = "databricks"
    bigquery = "bigquery"


class Derived(StrEnum):
    """Columns that can be derived from a number's own past."""

    delta = "delta"
    min = "min"
    max = "max"
    mean = "mean"


class Method(StrEnum):
    """What a channel is worth when a network is pruned."""

    mean = "mean"
    l2 = "l2"
    taylor = "taylor"
    fisher = "fisher"
    correlation = "correlation"
    random = "random"


class Scope(StrEnum):
    """Of what the quantile is taken."""

    layer = "layer"
    all_layers = "global"


class PruneSchedule(StrEnum):
    """When a network is pruned."""

    epoch = "epoch"
    final = "final"
    gradual = "gradual"
    rewind = "rewind"


class Axis(StrEnum):
    """Which channels are pruned."""

    units = "units"
    hidden = "hidden"
    both = "both"


class Init(StrEnum):
    """The first weights of a converted network."""

    scratch = "scratch"
    parent = "parent"


class Mode(StrEnum):
    """How a `.tflite` file stores its weights and multiplies."""

    float32 = "float32"
    float16 = "float16"
    dynamic = "dynamic"
    int8 = "int8"
    integer = "integer"


class Runtime(StrEnum):
    """What can run an artifact."""

    litert = "litert"
    savedmodel = "savedmodel"
    keras = "keras"
    onnx = "onnx"
    c = "c"


class SplitName(StrEnum):
    """The splits of a data set."""

    train = "train"
    val = "val"
    test = "test"


class PredictSplit(StrEnum):
    """The splits of a data set, or all of them."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


class RowFormat(StrEnum):
    """How predictions are written: a CSV row, or a JSON object, a stay."""

    csv = "csv"
    jsonl = "jsonl"


class TableFormat(StrEnum):
    """How the tables of a synthetic hospital are written."""

    csv = "csv"
    csv_gz = "csv.gz"
    parquet = "parquet"


class Backend(StrEnum):
    """What trains: auto is TensorFlow where it is installed and this processor can run it."""

    auto = "auto"
    tensorflow = "tensorflow"
    numpy = "numpy"


class Parallel(StrEnum):
    """What joblib runs trainings side by side by."""

    loky = "loky"
    threading = "threading"
    dask = "dask"
    ray = "ray"


class Level(StrEnum):
    """How much of a recalibration is fitted."""

    auto = "auto"
    intercept = "intercept"
    slope = "slope"


class OpenData(StrEnum):
    """Open data sets that can be downloaded."""

    physionet2012 = "physionet2012"
    mimic3_demo = "mimic3-demo"
    mimic4_demo = "mimic4-demo"


class ExportTo(StrEnum):
    """What a model can be exported to."""

    c = "c"
    html = "html"
    onnx = "onnx"
    keras = "keras"
    savedmodel = "savedmodel"
    tflite = "tflite"


class KerasArch(StrEnum):
    """What a file of Keras with weights alone may hold."""

    lstm = "lstm"
    gru = "gru"
    bilstm = "bilstm"


class NetworkOutput(StrEnum):
    """What the last layer of an imported network gives."""

    auto = "auto"
    risk = "risk"
    logit = "logit"

"""dataset: events on their grid -> X, and the data set on disk.

Comes in: records of any source, or an existing data set whose variables and scaling are to be used. Goes out: X of
shape (stays, hours, features), scaled by the training split, in `dataset.npz`, or batch by batch.
"""

from mortcond.dataset.batches import RawBatch, RawStays, batches, raw_stays
from mortcond.dataset.npz import SPLITS, Dataset, Split, load, save
from mortcond.dataset.spec import InputSpec, mask_columns

__all__ = ["SPLITS", "Dataset", "InputSpec", "RawBatch", "RawStays", "Split", "batches", "load", "mask_columns"]
__all__ += ["raw_stays", "save"]

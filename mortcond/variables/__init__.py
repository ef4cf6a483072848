"""variables: which measurements go into a model, as a CSV table; medical knowledge is data here, never code.

Comes in: the name of a shipped table (paper76, extended) or the path of a user's own. Goes out: `Variables`, one
`Variable` a row in column order, which travels on in every data set and deployed model.

The columns of such a table
---------------------------
name        Name of the variable, also of its columns.
kind        number, category or static (a fact of the stay: age, sex, icu_type).
unit        Unit of the cleaned value.
normal      Value before the first measurement; empty: the median of the training split.
categories  `A|B`, or `A=text=text|B=text` where a source writes a category in other words than its name.
low, high   Plausible range of the cleaned value; what lies outside counts as not measured.
aggregate   last (in the hour, then carried forward) or sum (within the hour, not carried forward).
scale       linear, or log: log(1 + value) before standardising.
rule        A cleaning rule of RULES; empty: the number, or the category, as it is written.
flagged     What becomes of rows that the source flags as errors: drop (the default) or keep.
early_hours A value charted so many hours before ICU admission, or less, counts as known at hour 0 where there is none
            later; not in MIMIC-III, for which the benchmark's rules are kept.
citation    Where ids, ranges and normal values come from.
mimic3, ... For each source of SOURCES, its ids or names of the variable: `211;220045`. `3582@oz` adds a unit that
            the source does not write. Where a source has no column or an empty one, adapters may use the name.
"""

from mortcond.variables.table import DERIVED, RULES, SOURCES, STATIC, Column, Variable, Variables, load

__all__ = ["DERIVED", "RULES", "SOURCES", "STATIC", "Column", "Variable", "Variables", "load"]

"""DuckDB, which is refused by one sentence where the installed one cannot run on this processor.

Comes in: nothing. Goes out: `duckdb`; every other module takes it from here.
"""

from mortcond.core.processor import refuse_unable

refuse_unable("duckdb", "Reading records")  # before its import, which would end the process

import duckdb  # noqa: E402

__all__ = ["duckdb"]

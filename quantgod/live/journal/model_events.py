"""Write notices of models to the journal."""

from __future__ import annotations

import time

from quantgod.contracts.model_notices import ModelNotice, Report
from quantgod.contracts.row_sink import RowSink
from quantgod.settings import without_passwords


def journaled(journal: RowSink, then: Report) -> Report:
    """Return a listener that writes each notice to the table EVENTS, then passes it on."""

    def report(notice: ModelNotice) -> None:
        journal.append(
            "EVENTS",
            {
                "received_ns": time.time_ns(),
                "ts_ms": None,
                "symbol": notice.symbol,
                "kind": notice.kind,
                "code": notice.code,
                "detail": without_passwords(notice.text),
            },
        )
        then(notice)

    return report

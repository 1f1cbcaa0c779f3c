"""Apply faults to true events before they are sent."""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec.structs import replace

from quantgod.market.binance import DepthEvent
from quantgod.simulation.exchange.faults import Fault
from quantgod.simulation.exchange.schedule import Schedule
from quantgod.simulation.exchange.truth import TrueEvent
from quantgod.simulation.exchange.wire import depth_event

RESTART_ID = 1000
"""Ids restart here after a reset of the sequence."""


class Message(NamedTuple):
    """An event to send: unchanged, in several frames, or truncated."""

    data: bytes
    shape: Literal["whole", "split", "cut"] = "whole"


class Spoiling:
    """Turns each true event into the messages to send.

    `step_ms` is the error of the exchange's clock; `hurry` is the number of remaining events of
    `burst`, which are sent without a pause.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.step_ms = self.hurry = 0
        self._clock_until: tuple[str, int] | None = None
        self._lost_until: dict[str, int] = {}
        self._id_shift: dict[str, int] = {}
        self._held: dict[str, _DelayedMessages] = {}

    def messages(self, event: TrueEvent, number: int, *, is_heard: bool) -> list[Message]:
        """Return the messages for event `number` of its symbol, in order; usually just the event.

        No fault strikes an event without listeners.
        """
        symbol, ts = event.change.symbol, event.change.ts
        faults = self._schedule.strikes("event", symbol, number, ts) if is_heard else []
        self.hurry = max(self.hurry - 1, 0)
        if (symbol, number) == self._clock_until:
            self.step_ms = 0
        for fault in faults:
            self._note(fault, event.change, number)
        messages = [Message(depth_event(self._shifted(event), self.step_ms))]
        for fault in faults:
            messages = self._spoil(fault, self._shifted(event), messages)
        if number <= self._lost_until.get(symbol, 0):
            messages = []
        return self._release(symbol, number, messages)

    def release_all(self) -> list[tuple[str, Message]]:
        """Return the messages still held back at the market's end, with their symbols."""
        held, self._held = self._held, {}
        return [(symbol, message) for symbol, one in held.items() for message in one.in_order()]

    def id_shift(self, symbol: str) -> int:
        """Return the shift of ids since the sequence was reset."""
        return self._id_shift.get(symbol, 0)

    def _note(self, fault: Fault, change: DepthEvent, number: int) -> None:
        """Start a lasting fault."""
        symbol = change.symbol
        if fault.name.startswith("clock_"):
            self.step_ms, self._clock_until = int(fault.amount), (symbol, number + fault.count)
        elif fault.name == "lost":
            self._lost_until[symbol] = number + fault.count - 1
        elif fault.name == "burst":
            self.hurry = fault.count
        elif fault.name == "sequence_reset":
            self._id_shift[symbol] = RESTART_ID - change.first
        elif fault.name == "delayed":
            self._held.setdefault(
                symbol, _DelayedMessages([], number + fault.count, is_reversed=False)
            )
        elif fault.name == "reordered":
            self._held.setdefault(symbol, _DelayedMessages([], number + 1, is_reversed=True))

    def _spoil(self, fault: Fault, event: TrueEvent, messages: list[Message]) -> list[Message]:
        """Apply a fault of this one event."""
        message = messages[0]
        match fault.name:
            case "doubled":
                return messages * 2
            case "split":
                message = message._replace(shape="split")
            case "bad_json":
                message = message._replace(shape="cut")
            case "oversized":
                padding = b"x" * int(fault.amount)
                message = Message(message.data[:-1] + b',"padding":"' + padding + b'"}')
            case "bad_number":
                worthless = event._replace(sides=b'"b":[["-1.00","1.000"]],"a":[]')
                message = Message(depth_event(worthless, self.step_ms))
            case "wrong_symbol":
                other = event._replace(change=replace(event.change, symbol="OTHERUSDT"))
                message = Message(depth_event(other, self.step_ms))
            case _:
                return messages
        if message == Message(depth_event(event, self.step_ms)):
            raise ValueError(f"the fault {fault.name} changed nothing of an event")
        return [message]

    def _shifted(self, event: TrueEvent) -> TrueEvent:
        shift = self._id_shift.get(event.change.symbol)
        if not shift:
            return event
        change = event.change
        ids = (change.first + shift, change.final + shift, max(change.previous + shift, 0))
        first, final, previous = ids
        return event._replace(change=replace(change, first=first, final=final, previous=previous))

    def _release(self, symbol: str, number: int, messages: list[Message]) -> list[Message]:
        """Hold messages back while they are delayed or reordered."""
        held = self._held.get(symbol)
        if held is None:
            return messages
        held.messages.append(messages)
        if number < held.until:
            return []
        del self._held[symbol]
        return held.in_order()


class _DelayedMessages(NamedTuple):
    messages: list[list[Message]]
    until: int
    is_reversed: bool

    def in_order(self) -> list[Message]:
        order = reversed(self.messages) if self.is_reversed else self.messages
        return [message for group in order for message in group]

"""Keep sources and sinks paused as long as the state says so, and pause and resume tables on request."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from cdc.engine.capture_pipeline import CapturePipeline
from cdc.engine.delivery_pipeline import DeliveryPipeline
from cdc.engine.pipelines import Pipelines
from cdc.engine.workers import Log
from cdc.errors import CdcError, ConfigError
from cdc.spi import State, TablePauseRequest

# Operators pause: half a second is not felt, and one look is a single read of the state.
POLL_SECONDS = 0.5
Pipeline = CapturePipeline | DeliveryPipeline


class PauseWatch:
    """One engine's. Whoever paused something wrote it into the state: a command, or this process.

    Nothing here waits for a worker to stop: `changing` is held for an instant only.
    """

    def __init__(self, state: State, pipelines: Pipelines, changing: threading.Lock, report: Log) -> None:
        self._state = state
        self._pipelines = pipelines
        self._changing = changing
        self._report = report
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failed = ""

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="pauses", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch, after the table that is being resumed now if it takes less than a moment."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(POLL_SECONDS)

    def held(self, pipelines: Sequence[Pipeline]) -> list[Pipeline]:
        """Mark those of these pipelines that are to be paused; return the others, which may start."""
        paused = self._paused()
        for pipeline in pipelines:
            if pipeline.subject in paused:
                pipeline.hold()
                self._say("paused, as before the start", pipeline)
        return [pipeline for pipeline in pipelines if pipeline.subject not in paused]

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            # A state that cannot be read now is read at the next look.
            try:
                with self._changing:
                    self._keep()
                for request in self._state.table_pause_requests():
                    self._serve(request)
            except CdcError as error:
                self._note(error)
            else:
                self._failed = ""

    def _note(self, error: CdcError) -> None:
        """Log why nothing can be paused or resumed, once for each reason."""
        if error.message != self._failed:
            self._failed = error.message
            self._report(
                "could not pause or resume, retrying",
                level="warning",
                error=error.message,
                where=error.where,
                remedy=error.remedy,
            )

    def _paused(self) -> set[tuple[str, str]]:
        return {(pause.kind, pause.name) for pause in self._state.pauses()}

    def _keep(self) -> None:
        paused = self._paused()
        captures, deliveries = self._pipelines.captures, self._pipelines.deliveries
        running: list[Pipeline] = [*captures.values(), *deliveries.values()]
        for pipeline in running:
            if self._stop.is_set():
                return
            if pipeline.subject in paused:
                self._hold(pipeline)
            else:
                self._release(pipeline)

    def _hold(self, pipeline: Pipeline) -> None:
        if pipeline.is_paused:
            return
        for worker in pipeline.workers:
            worker.ask_to_stop()
        if not any(worker.is_alive for worker in pipeline.workers):
            pipeline.hold()
            self._say("paused", pipeline)

    def _release(self, pipeline: Pipeline) -> None:
        workers = pipeline.workers
        was_asked = any(worker.stop.is_set() for worker in workers)
        if (pipeline.is_paused or was_asked) and not any(worker.is_alive for worker in workers):
            pipeline.resume()
            pipeline.start()
            self._say("resumed", pipeline)

    def _say(self, event: str, pipeline: Pipeline) -> None:
        kind, name = pipeline.subject
        if isinstance(pipeline, DeliveryPipeline):
            self._report(event, sink=name, source=pipeline.source)
        else:
            self._report(event, **{kind: name})

    def _serve(self, request: TablePauseRequest) -> None:
        capture = self._pipelines.captures.get(request.source)
        if capture is None:
            name = repr(request.source)
            is_held = request.source in self._pipelines.unopened
            error = f"the log of {name} is not open" if is_held else f"there is no source {name}"
            self._state.finish_table_pause(request.id, error)
            return
        try:
            change = capture.pause_table if request.pauses else capture.resume_table
            change(request.table)
        except ConfigError as error:
            self._state.finish_table_pause(request.id, str(error))
            return
        self._state.finish_table_pause(request.id)
        event = "table paused" if request.pauses else "table resumed"
        self._report(event, source=request.source, table=str(request.table))

"""The outputs of one relay: those that are desired, and those that are still being closed."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Protocol

from transponder_crd.control import DesiredOutput, OutputReport
from transponder_relay.media import AudioTag
from transponder_relay.outputs.output import Output, OutputEvents, OutputSettings
from transponder_relay.rates import Counted
from transponder_relay.sound.coding import missing_library
from transponder_relay.sound.soundtrack import Soundtrack
from transponder_relay.stream_statistics import Statistics


class DestinationEvents(OutputEvents, Protocol):
    """What is told of the outputs together."""

    def on_outputs_arranged(self) -> None:
        """Others than before: who gets which pictures is to be seen to."""


class Destinations:
    """Each output by its id, with what it is to be and what it hears."""

    def __init__(
        self, settings: OutputSettings, soundtrack: Soundtrack, statistics: Statistics, events: DestinationEvents
    ) -> None:
        self._settings = settings
        self._soundtrack = soundtrack
        self._statistics = statistics
        self._events = events
        self._outputs: dict[str, Output] = {}
        self._desired: dict[str, DesiredOutput] = {}
        self._former_generations: dict[str, int] = {}
        """Of each output, the one in effect when the present one came."""
        self._closing: dict[str, Output] = {}
        """Reported until their RTMP sessions are closed, so that nobody takes them for gone before."""
        self.endings: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Output]:
        """Those that are desired."""
        return iter(self._outputs.values())

    def with_enhanced(self) -> Iterator[tuple[Output, bool]]:
        """Each with whether it takes enhanced RTMP."""
        return ((output, self._desired[i].target.enhanced) for i, output in self._outputs.items())

    def audio(self, output_ids: Collection[str], tag: AudioTag) -> None:
        for output_id in output_ids:
            self._outputs[output_id].audio(tag)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is sent inside goes out together, to each destination."""
        with ExitStack() as stack:
            for output in self._outputs.values():
                stack.enter_context(output.together())
            yield

    # ------------------------------------------------------------------------------------------ desired state

    def apply(self, desired: Iterable[DesiredOutput], *, published: bool, running: bool) -> None:
        """Become what `desired` says. `published`: there is a publisher; `running`: so does the stream's clock."""
        wanted = {output.id: output for output in desired}
        for output_id in [i for i in self._outputs if not self._keeps(i, wanted.get(i))]:
            self._remove(output_id)
        for output in wanted.values():
            self._apply(output, published, running)

    def _keeps(self, output_id: str, wanted: DesiredOutput | None) -> bool:
        present = self._desired[output_id]
        return wanted is not None and (wanted.target, wanted.audio_codec) == (present.target, present.audio_codec)

    def _apply(self, desired: DesiredOutput, published: bool, running: bool) -> None:
        output = self._outputs.get(desired.id)
        if output is not None:
            self._former_generations[desired.id] = self._generation(desired.id, running)
        self._desired[desired.id] = desired
        if missing_library(desired.audio_codec) is None:  # else the output says so
            self._soundtrack.subscribe(
                desired.id,
                desired.muted,
                desired.sound,
                desired.audio_bitrate,
                takes_opus=desired.target.enhanced,
                codec=desired.audio_codec,
            )
        if output is not None:
            output.update(desired)
            return
        output = Output(desired, self._settings, self._events, former=self._closing.get(desired.id))
        self._outputs[desired.id] = output
        self._events.on_outputs_arranged()
        if published:
            output.publisher_connected()

    def _remove(self, output_id: str) -> None:
        self._soundtrack.unsubscribe(output_id)
        self._statistics.output_removed(output_id)
        del self._desired[output_id]
        self._former_generations.pop(output_id, None)
        output = self._closing[output_id] = self._outputs.pop(output_id)
        self._events.on_outputs_arranged()
        task = asyncio.create_task(self._close(output_id, output))
        self.endings.add(task)
        task.add_done_callback(self.endings.discard)

    async def _close(self, output_id: str, output: Output) -> None:
        await output.close()
        if self._closing.get(output_id) is output:
            del self._closing[output_id]
        self._events.on_change()

    # ------------------------------------------------------------------------------------------ reports

    def counted(self) -> Mapping[str, Counted]:
        """What was sent, by id."""
        return {output_id: output.counted for output_id, output in self._outputs.items()}

    def reports(self, *, running: bool) -> list[OutputReport]:
        """`running`: the stream's clock does."""
        closing = [output.report() for i, output in self._closing.items() if i not in self._outputs]
        return [self._report(i, output, running) for i, output in self._outputs.items()] + closing

    def _report(self, output_id: str, output: Output, running: bool) -> OutputReport:
        report = output.report()
        update = {
            "generation": self._generation(output_id, running),
            "muted": self._desired[output_id].muted,
            "sound_enabled": self._soundtrack.sound_enabled(output_id),
            "statistics": self._statistics.output(output_id, report.statistics),
        }
        return report.model_copy(update=update)

    def _generation(self, output_id: str, running: bool) -> int:
        """That in effect: a new one counts once its sound file has begun or failed. Without a clock none begins."""
        if not running or self._soundtrack.settled(output_id):
            return self._desired[output_id].generation
        return self._former_generations.get(output_id, 0)

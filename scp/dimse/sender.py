"""A destination as a receiver of instances, over one association at a time (C-MOVE, forwarding)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from dicomnn.errors import PeerError
from dicomnn.flow.retrieve import Outgoing
from scp.dimse.destination import SenderAssociation
from scp.dimse.send import Answer, NoAnswer, NoContext, PeerGone
from scp.dimse.suboperations import Over, ReceiverLost


class Sender(Over):
    """A destination, over one association at a time; when that ends, the one that asked is still there."""

    answers = 0

    def __init__(self, connect: Callable[[], AbstractContextManager[SenderAssociation]], seconds: float,
                 originator: tuple[str, int] | None, compress: tuple[str, ...]) -> None:
        self._connect, self._open = connect, ExitStack()
        super().__init__(self._open.enter_context(connect()), seconds, originator=originator,
                         compress=compress)

    def close(self, error: BaseException | None = None) -> None:
        """Release the association; abort it after an error."""
        self._open.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

    def send(self, outgoing: Outgoing, waiting: Callable[[], None]) -> Answer:
        def asked_still_there() -> None:
            try:
                waiting()
            except PeerGone as error:
                raise _AskerGone(str(error)) from error
            if self._assoc.left:
                raise PeerGone("the destination ended the association before it answered")

        start, again = outgoing.source.tell(), True
        while True:
            try:
                if self._assoc.left or not self._assoc.dul.is_alive():
                    self._call_again()     # it grew tired while this instance was restored
                answer = super().send(outgoing, asked_still_there)
                self.answers += 1
                return answer
            except (NoContext, _AskerGone):
                raise
            except NoAnswer as error:
                raise ReceiverLost(error.message) from error
            except PeerGone as error:
                # Perhaps it ended the association just as we began to send; storing twice does no harm.
                if not again:
                    raise ReceiverLost(error.message) from error
                again = False
                outgoing.source.seek(start)
            except PeerError as error:     # a message was left unfinished, or it cannot be called again
                raise ReceiverLost(error.message) from error

    def _call_again(self) -> None:
        self._open.close()
        self._assoc = self._open.enter_context(self._connect())


class _AskerGone(PeerGone):
    """The peer that asked for the move left; not the destination."""

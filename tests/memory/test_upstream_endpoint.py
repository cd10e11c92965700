"""Opening connections: which address first, who wins, what is given up."""

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from upstream_rig import Rig, result
from zope.interface import implementer

from lmgw.core.steps import FaultKind
from lmgw.upstream.endpoint import ATTEMPT_DELAY_S, Race, alternate


class FakeEndpoint:
    """An address whose connection the test decides about."""

    def __init__(self) -> None:
        self.attempt: Deferred[object] | None = None
        self.cancelled = False

    def connect(self, factory: object) -> Deferred[object]:
        self.attempt = Deferred(lambda _: setattr(self, "cancelled", True))
        return self.attempt

    def refuse(self) -> None:
        self.attempt.errback(Failure(ConnectionRefusedError()))


class RaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ends = [FakeEndpoint() for _ in range(3)]
        self.race = Race(self.clock, self.ends, object())

    def tried(self) -> list[bool]:
        return [end.attempt is not None for end in self.ends]

    def test_addresses_are_tried_one_after_the_other(self) -> None:
        self.assertEqual(self.tried(), [True, False, False])
        self.clock.advance(ATTEMPT_DELAY_S)
        self.assertEqual(self.tried(), [True, True, False])
        self.clock.advance(ATTEMPT_DELAY_S)
        self.assertEqual(self.tried(), [True, True, True])

    def test_a_refusal_does_not_wait_for_the_delay(self) -> None:
        self.ends[0].refuse()
        self.assertEqual(self.tried(), [True, True, False])
        self.clock.advance(ATTEMPT_DELAY_S - 0.01)
        self.assertEqual(self.tried(), [True, True, False])

    def test_the_first_to_connect_wins_and_the_others_are_given_up(self) -> None:
        self.clock.advance(ATTEMPT_DELAY_S)
        self.ends[1].attempt.callback("protocol")
        self.assertEqual(result(self.race.winner), "protocol")
        self.assertTrue(self.ends[0].cancelled)
        self.clock.advance(10)
        self.assertEqual(self.tried(), [True, True, False])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_late_address_can_still_win_after_a_refusal(self) -> None:
        self.clock.advance(ATTEMPT_DELAY_S)
        self.ends[1].refuse()
        self.ends[2].refuse()
        self.ends[0].attempt.callback("protocol")
        self.assertEqual(result(self.race.winner), "protocol")

    def test_when_all_have_failed_the_race_has(self) -> None:
        for end in self.ends:
            end.refuse()
        self.failureResultOf(self.race.winner, ConnectionRefusedError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelling_gives_everything_up(self) -> None:
        self.clock.advance(ATTEMPT_DELAY_S)
        self.race.winner.cancel()
        self.failureResultOf(self.race.winner, CancelledError)
        self.assertEqual([end.cancelled for end in self.ends], [True, True, False])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class AlternateTests(SynchronousTestCase):
    def test_families_take_turns_beginning_with_the_systems_favourite(self) -> None:
        self.assertEqual(alternate(["::1", "::2", "::3", "1.1.1.1"]), ["::1", "1.1.1.1", "::2", "::3"])
        self.assertEqual(alternate(["1.1.1.1", "2.2.2.2", "::1"]), ["1.1.1.1", "::1", "2.2.2.2"])
        self.assertEqual(alternate(["1.1.1.1"]), ["1.1.1.1"])


@implementer(IHostnameResolver)
class Resolver:
    """Knows what the test says."""

    def __init__(self, *found: object) -> None:
        self.found = found

    def resolveHostName(self, receiver, hostName, portNumber=0, addressTypes=None, transportSemantics="TCP"):
        receiver.resolutionBegan(self)
        for address in self.found:
            receiver.addressResolved(address)
        receiver.resolutionComplete()


class ConnectTests(SynchronousTestCase):
    def rig(self, *found: object) -> Rig:
        rig = Rig(base_url="http://model.example:11434")
        rig.reactor.nameResolver = Resolver(*found)
        return rig

    def test_every_address_of_a_name_is_tried_once(self) -> None:
        six, four = IPv6Address("TCP", "::1", 0), IPv4Address("TCP", "127.0.0.1", 0)
        rig = self.rig(six, six, four)
        rig.ask()
        rig.refuse()
        transport = rig.accept()
        self.assertEqual([client[:2] for client in rig.reactor.tcpClients], [("::1", 11434), ("127.0.0.1", 11434)])
        self.assertIn(b"Host: model.example:11434\r\n", transport.value())

    def test_a_name_without_an_address_is_a_fault(self) -> None:
        _, head = self.rig().ask()
        fault = result(head)
        self.assertEqual(fault.kind, FaultKind.CONNECT)
        self.assertEqual(fault.detail, 'backend "ollama": the name "model.example" does not resolve')
        self.assertNotIn("model.example", fault.error.message)

    def test_an_address_needs_no_lookup(self) -> None:
        rig = Rig(base_url="http://[2001:db8::1]")
        rig.reactor.nameResolver = None
        rig.ask()
        self.assertEqual(rig.reactor.tcpClients[0][:2], ("2001:db8::1", 80))
        rig.accept()

    def test_a_lookup_that_never_ends_ends_with_the_connect_timer(self) -> None:
        rig = self.rig()
        rig.reactor.nameResolver.resolveHostName = lambda *_, **__: None
        _, head = rig.ask()
        rig.reactor.advance(5.0)
        self.assertEqual(result(head).kind, FaultKind.TIMEOUT)

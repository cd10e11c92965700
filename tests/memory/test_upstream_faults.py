"""Faults in words: the operator learns where and what, the caller only what."""

from twisted.internet.error import ConnectError, ConnectionRefusedError, NoRouteError
from twisted.trial.unittest import SynchronousTestCase
from upstream_rig import Rig, result

from lmgw.core.steps import FaultKind


class FaultTests(SynchronousTestCase):
    def fault(self, reason: Exception, base_url: str = "http://192.0.2.1:11434"):
        rig = Rig(base_url=base_url)
        _, head = rig.ask()
        rig.refuse(reason)
        fault = result(head)
        self.assertEqual((fault.kind, fault.status, fault.reused), (FaultKind.CONNECT, 0, False))
        self.assertEqual(fault.error.status, 502)
        for secret in ("192.0.2", "127.0.0", "11434", "ollama"):
            self.assertNotIn(secret, fault.error.message)
        return fault

    def test_refused_on_this_machine_reminds_of_containers(self) -> None:
        self.assertEqual(
            self.fault(ConnectionRefusedError(), "http://127.0.0.1:11434").detail,
            'backend "ollama": connection refused at 127.0.0.1:11434; '
            "inside a container localhost is the container itself",
        )

    def test_refused_elsewhere_says_where(self) -> None:
        fault = self.fault(ConnectionRefusedError())
        self.assertEqual(fault.detail, 'backend "ollama": connection refused at 192.0.2.1:11434')
        self.assertEqual(fault.error.message, "the provider could not be reached: connection refused")

    def test_an_unreachable_network_is_named(self) -> None:
        detail = self.fault(NoRouteError(OSError(113, "No route to host"), "No route to host")).detail
        self.assertIn("no connection to 192.0.2.1:11434: ", detail)
        self.assertIn("No route to host", detail)
        self.assertIn("no connection to 192.0.2.1:11434: ", self.fault(ConnectError()).detail)

    def test_anything_else_is_a_fault_as_well(self) -> None:
        self.assertIn("boom", self.fault(RuntimeError("boom")).detail)

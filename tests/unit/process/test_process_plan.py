import pytest

from lmgw.config.snapshot import Gateway
from lmgw.listeners import Address, addresses, plan

CLIENT, ADMIN = addresses(Gateway())


def at(endpoint: str) -> Address:
    return Address("client", endpoint=endpoint)


MOVED = Address("client", "", 9090)


def test_the_defaults_are_every_interface_and_loopback():
    assert Address("client", "", 8080) == CLIENT
    assert Address("admin", "127.0.0.1", 8081) == ADMIN


def test_at_the_start_everything_is_opened():
    steps = plan((), (CLIENT, ADMIN))
    assert (steps.keep, steps.open, steps.reopen, steps.close) == ((), (CLIENT, ADMIN), (), ())


def test_what_did_not_change_is_kept():
    steps = plan((CLIENT, ADMIN), (CLIENT, ADMIN))
    assert (steps.keep, steps.open, steps.reopen, steps.close) == ((CLIENT, ADMIN), (), (), ())


def test_another_port_is_opened_before_the_old_one_closes():
    steps = plan((CLIENT, ADMIN), (MOVED, ADMIN))
    assert (steps.keep, steps.open, steps.reopen, steps.close) == ((ADMIN,), (MOVED,), (), (CLIENT,))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Address("client", "", 8080), Address("client", "127.0.0.1", 8080)),
        (Address("client", "", 8443), at("ssl:8443:privateKey=a.pem")),
        (
            at("ssl:8443:privateKey=a.pem"),
            at("ssl:8443:privateKey=b.pem"),
        ),
        (at("tcp:port=80:interface=::1"), at("tcp6:80")),
        (
            at("unix:/run/l.sock:mode=660"),
            at("unix:/run/l.sock:mode=600"),
        ),
    ],
)
def test_what_only_one_can_hold_is_opened_again_after_the_old_one_closed(old, new):
    steps = plan((old,), (new,))
    assert (steps.open, steps.reopen, steps.close) == ((), (new,), (old,))


def test_two_sides_may_exchange_their_ports():
    client, admin = Address("client", "", 8081), Address("admin", "127.0.0.1", 8080)
    steps = plan((CLIENT, ADMIN), (client, admin))
    assert (steps.reopen, steps.close) == ((client, admin), (CLIENT, ADMIN))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Address("client", "", 0), Address("client", "127.0.0.1", 0)),
        (
            at("systemd:domain=INET:index=0"),
            at("systemd:domain=INET:index=1"),
        ),
        (at("unix:/run/a.sock"), at("unix:/run/b.sock")),
        (at("ssl:0:privateKey=a.pem"), at("ssl:0:privateKey=b.pem")),
    ],
)
def test_what_is_in_nobodys_way_is_opened_first(old, new):
    assert plan((old,), (new,)).open == (new,)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (CLIENT, "client port 8080"),
        (ADMIN, "admin port 8081 on 127.0.0.1"),
        (at("unix:/run/l.sock"), 'client_endpoint "unix:/run/l.sock"'),
    ],
)
def test_an_address_reads_as_the_operator_wrote_it(address, words):
    assert str(address) == words

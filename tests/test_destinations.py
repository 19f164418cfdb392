"""Destinations of requests: no text from outside leads to this machine or its network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.errors import DestinationRefused, HubError
from crawlers.http.destinations import Destinations, objection_to, resolve
from crawlers.http.transport import Transport
from scanner.factories.network import allow_typed
from tests.servers.files import FileServer

# Spellings of addresses to which no hub may send a request.
URLS = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1:8080/x.safetensors",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://0.0.0.0/",
    "http://0/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://3232235777/",
    "http://169.254.169.254/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://169.254.170.2/v2/credentials",
    "http://168.63.129.16/machine",
    "http://100.100.100.200/latest/meta-data/",
    "http://100.64.0.1/",
    "http://192.0.0.192/opc/v2/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://239.255.255.250:1900/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/latest/",
    "http://[fe80::1]/",
    "http://[ff02::1]/",
    "http://user@127.0.0.1/",
    "http://civitai.com@127.0.0.1/",
    "http://user:secret@huggingface.co/",
    "http://127.0.0.1#@civitai.com/",
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "gopher://127.0.0.1:70/_x",
    "data:text/plain,x",
    "dict://127.0.0.1:11211/",
    "//127.0.0.1/x",
    "http:///x",
    "http://127.0.0.1%00.civitai.com/",
    "http://①②⑦.⓪.⓪.①/",
]


@pytest.fixture
def client() -> Iterator[Transport]:
    opened = Transport(attempts=1, timeout_s=2)
    yield opened
    opened.close()


@pytest.mark.parametrize("url", URLS)
def test_no_spelling_leads_inside(client: Transport, url: str) -> None:
    with pytest.raises(HubError) as caught:
        client.get(url)
    # The request is refused before a byte is sent, and not merely unreachable.
    assert isinstance(caught.value, DestinationRefused) or caught.value.args[0].startswith(url)
    assert "secret" not in str(caught.value)


def test_most_of_them_are_refused_by_name(client: Transport) -> None:
    refused = 0
    for url in URLS:
        try:
            client.get(url)
        except DestinationRefused:
            refused += 1
        except HubError:
            pass
    assert refused >= len(URLS) - 6  # the rest are not addresses at all


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:1/", "http://[::1]:1/x", "file:///etc/passwd", "http://a:b@127.0.0.1/"],
)
@pytest.mark.parametrize("hops", [1, 3])
def test_no_redirect_leads_inside(file_server: FileServer, target: str, hops: int) -> None:
    redirects = [(302, {"Location": file_server.url(f"hop{hop}")}) for hop in range(hops - 1)]
    file_server.failures = [*redirects, (302, {"Location": target})]
    allowed = Transport(
        attempts=1, destinations=Destinations({f"127.0.0.1:{file_server.server_port}"})
    )
    with pytest.raises(DestinationRefused):
        allowed.get(file_server.url("start"))
    assert len(file_server.requests) == hops
    allowed.close()


def test_a_name_that_changes_between_check_and_use_gains_nothing(file_server: FileServer) -> None:
    answers = iter([["93.184.215.14"], ["127.0.0.1"], ["127.0.0.1"]])
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    destinations = Destinations(resolve=rebinding)
    # The checked address is the one that is used; the name is not resolved again.
    assert destinations.addresses_of("evil.example", file_server.server_port) == ["93.184.215.14"]
    client = Transport(attempts=1, timeout_s=2, destinations=destinations)
    with pytest.raises(DestinationRefused, match=r"evil\.example"):
        client.get(f"http://evil.example:{file_server.server_port}/a")
    assert len(asked) == 2
    assert file_server.requests == []
    client.close()


def test_one_bad_address_among_good_ones_is_refused() -> None:
    destinations = Destinations(resolve=lambda _host, _port: ["93.184.215.14", "10.0.0.7"])
    with pytest.raises(DestinationRefused, match=r"10\.0\.0\.7 is a private address"):
        destinations.addresses_of("mixed.example", 443)


def test_what_the_operator_allows_can_be_reached(file_server: FileServer, tmp_path: Path) -> None:
    (file_server.folder / "a").write_bytes(b"here")
    port = file_server.server_port
    for allowed in (
        {"127.0.0.1"},
        {f"127.0.0.1:{port}"},
        {f"LOCALHOST:{port}", f"127.0.0.1:{port}"},
    ):
        client = Transport(attempts=1, destinations=Destinations(allowed))
        assert client.get(file_server.url("a")).content == b"here"
        client.close()
    other_port = Transport(attempts=1, destinations=Destinations({f"127.0.0.1:{port + 1}"}))
    with pytest.raises(DestinationRefused, match="allowed_hosts"):
        other_port.get(file_server.url("a"))
    allow_typed(other_port, [f"civitai=http://127.0.0.1:{port}", str(tmp_path), "civitai"])
    assert other_port.get(file_server.url("a")).content == b"here"
    other_port.close()


def test_a_name_without_an_address_is_unreachable_not_refused() -> None:
    def fails(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(httpcore.ConnectError, match="no address"):
        Destinations(resolve=fails).addresses_of("nowhere.invalid", 80)


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "8.8.8.8", "2606:4700::6810:84e5", "64:ff9b::8.8.8.8", "2002:808:808::1"],
)
def test_public_addresses_are_fine(address: str) -> None:
    assert objection_to(address) is None


@given(
    st.ip_addresses(network="10.0.0.0/8")
    | st.ip_addresses(network="127.0.0.0/8")
    | st.ip_addresses(network="169.254.0.0/16")
)
def test_no_dressing_hides_a_private_address(address: object) -> None:
    number = int(address)  # type: ignore[call-overload]
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    for dressed in (
        str(address),
        f"::ffff:{address}",
        f"::{high}:{low}",
        f"64:ff9b::{high}:{low}",
        f"2002:{high}:{low}::1",
        f"2001:0:1:1:0:0:{(number >> 16) ^ 0xFFFF:x}:{(number & 0xFFFF) ^ 0xFFFF:x}",
    ):
        assert objection_to(dressed) is not None, dressed


@given(st.text(max_size=40))
def test_any_text_is_judged_without_a_crash(text: str) -> None:
    assert isinstance(objection_to(text), str | None)
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        return
    try:
        Destinations().must_allow(url)
    except DestinationRefused:
        pass
    else:
        assert url.scheme in ("http", "https")


def test_the_system_resolver_gives_every_address() -> None:
    assert "127.0.0.1" in resolve("localhost", 80)

"""DER, the encoding of timestamps and of names in certificates (X.690)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509

from reports.verify.checks import Unsound

Name = tuple[int, tuple[tuple[bytes, bytes], ...]]
"""A GeneralName to compare: its tag, then type and text of each attribute, in lower case."""


@dataclass(frozen=True)
class Node:
    """One element of DER.

    Attributes:
        tag: the first byte.
        body: the content.
        whole: all bytes, tag and length included.
    """

    tag: int
    body: bytes
    whole: bytes

    def children(self) -> list[Node]:
        """Parse the content as a series of elements."""
        return list(parse_der(self.body))


def parse_der(data: bytes) -> Iterator[Node]:
    """Parse a series of elements; raise Unsound where the bytes are not DER."""
    position = 0
    while position < len(data):
        tag, length, head = data[position], data[position + 1], 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                raise Unsound("the answer is not DER")
            length = int.from_bytes(data[position + 2 : position + 2 + size], "big")
            head = 2 + size
        end = position + head + length
        if end > len(data):
            raise Unsound("the answer is cut off")
        yield Node(tag, data[position + head : end], data[position:end])
        position = end


def integer(node: Node) -> int:
    """Return the value of an INTEGER; raise Unsound for another type."""
    if node.tag != 0x02 or not node.body:
        raise Unsound("the answer holds something else where a number belongs")
    return int.from_bytes(node.body, "big", signed=True)


def general_name(node: Node) -> Name:
    """Return a GeneralName in the form that is compared."""
    if node.tag != 0xA4:
        return node.tag, ((b"", node.body.lower()),)
    sets = node.children()[0].children()
    pairs = [attribute.children() for part in sets for attribute in part.children()]
    return 0xA4, tuple((kind.body, b" ".join(text.body.lower().split())) for kind, text in pairs)


def directory_name(name: x509.Name) -> Name:
    """Return the name of a certificate's subject or issuer in the form that is compared."""
    return general_name(Node(0xA4, name.public_bytes(), b""))


def subject_names(certificate: x509.Certificate) -> list[Name]:
    """Return the subject and the subject's alternative names in the form that is compared."""
    names = [directory_name(certificate.subject)]
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            (sequence,) = parse_der(extension.value.public_bytes())
            names += [general_name(node) for node in sequence.children()]
    return names

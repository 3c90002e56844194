"""Finds out what a server speaks where a client only says that the connection broke: TLS, or not."""

from __future__ import annotations

import contextlib
import socket
import ssl

#: A server that is there answers in milliseconds; a person waits for the sentence.
PROBE_TIMEOUT_S = 2.0


def speaks_tls(host: str, port: int) -> bool:
    """Does the server take the first step of TLS? Whose certificate it shows does not matter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), PROBE_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except ssl.SSLError as error:
        # It wants a certificate of ours, or another version: that it said so, it said in TLS.
        return "ALERT" in str(error).upper() and "WRONG_VERSION" not in str(error).upper()
    except OSError:
        return False


def answers_plainly(host: str, port: int, question: bytes, first: bytes) -> bool:
    """Does the server answer a question without TLS, by a line that begins with one of these characters?"""
    with contextlib.suppress(OSError), socket.create_connection((host, port), PROBE_TIMEOUT_S) as plain:
        plain.settimeout(PROBE_TIMEOUT_S)
        plain.sendall(question)
        return plain.recv(1) in {bytes([one]) for one in first}
    return False


def reaches(host: str, port: int) -> bool:
    """Does anything listen there?"""
    with contextlib.suppress(OSError), socket.create_connection((host, port), PROBE_TIMEOUT_S):
        return True
    return False

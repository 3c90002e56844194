"""A Kafka and a Redis that let nobody in without TLS, a user and a password, and let that user do only what is listed.

The lists are those of docs/security.md: what is missing there is missing here, and the engine fails.
"""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its list of exports
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from flows.embedded.child import HOST, free_port
from flows.embedded.servers import KafkaServer, ValkeyServer
from tests.running import until

PAGE = Path(__file__).parents[1] / "docs" / "security.md"
USER = "atp"


class Papers:
    """Certificates and passwords, made for this run."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        authority = trustme.CA()
        certificate = authority.issue_cert(HOST, "localhost")
        self.ca, self.certificate, self.key, self.both = (
            folder / n for n in ("ca.pem", "cert.pem", "key.pem", "all.pem")
        )
        authority.cert_pem.write_to_path(self.ca)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        # Kafka wants PKCS 8, which says so in its first line.
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            load_pem_private_key,
        )

        private = load_pem_private_key(certificate.private_key_pem.bytes(), None)
        self.key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.both.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        self.password = secrets.token_urlsafe(24)
        self.admin_password = secrets.token_urlsafe(24)
        self.password_file = folder / "password.txt"
        self.password_file.write_text(self.password + "\n")


_GUARD = """\
listeners=SASL_SSL://{host}:{port},CONTROLLER://{host}:{controller_port},INTERNAL://{host}:{internal_port},MUTUAL://{host}:{mutual_port}
advertised.listeners=SASL_SSL://{host}:{port},INTERNAL://{host}:{internal_port},MUTUAL://{host}:{mutual_port}
inter.broker.listener.name=INTERNAL
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,MUTUAL:SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.truststore.type=PEM
listener.name.mutual.ssl.truststore.location={truststore}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
"""


class GuardedKafka(KafkaServer):
    """Clients come in by SASL_SSL with SCRAM-SHA-512; nobody may do what no ACL allows. It trusts only itself."""

    start_seconds_max = 120.0  # SCRAM, TLS and an authorizer take longer than a plain one on a busy machine

    def __init__(self, folder: Path, papers: Papers) -> None:
        super().__init__(folder, lambda _: None)
        self._papers = papers
        self._internal_port = 0
        self.mutual_port = 0  # who comes in here shows a certificate
        self.prepare()

    def choose_ports(self) -> None:
        super().choose_ports()
        self._internal_port = free_port()
        self.mutual_port = free_port()

    def _format(self, properties: Path) -> None:
        self._guard(properties)
        super()._format(properties)

    def command(self) -> list[str]:
        command = super().command()
        self._guard(self.folder / "server.properties")
        return command

    def launch(self, command: list[str]) -> None:
        if "format" in command:
            for name, password in ((USER, self._papers.password), ("admin", self._papers.admin_password)):
                command = [*command, "--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        super().launch(command)

    def _guard(self, properties: Path) -> None:
        guard = _GUARD.format(
            host=HOST,
            port=self.port,
            controller_port=self._controller_port,
            internal_port=self._internal_port,
            mutual_port=self.mutual_port,
            keystore=self._papers.both,
            truststore=self._papers.ca,
        )
        named = {line.partition("=")[0] for line in guard.splitlines()}
        kept = [line for line in properties.read_text().splitlines() if line.partition("=")[0] not in named]
        properties.write_text("\n".join(kept) + "\n" + guard)

    def client(self, user: str = "admin") -> dict[str, str]:
        """Give what a client must say to get in."""
        password = self._papers.admin_password if user == "admin" else self._papers.password
        return {
            "bootstrap.servers": f"{HOST}:{self.port}",
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self._papers.ca),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
        }

    def answers(self) -> bool:
        try:
            admin = AdminClient({**self.client(), "log_level": 0, "socket.timeout.ms": 2000})
            return bool(admin.list_topics(timeout=2).brokers)
        except Exception:
            return False

    def allow(self, names: dict[str, str]) -> None:
        """Let the user do what the table of docs/security.md says, with these prefixes; nothing else."""
        admin = AdminClient({**self.client(), "log_level": 0})
        bindings = [
            AclBinding(
                getattr(ResourceType, "BROKER" if kind == "cluster" else kind.upper()),
                "kafka-cluster" if kind == "cluster" else names[name],
                ResourcePatternType.LITERAL if kind == "cluster" else ResourcePatternType.PREFIXED,
                f"User:{USER}",
                "*",
                getattr(AclOperation, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).upper()),
                AclPermissionType.ALLOW,
            )
            for kind, name, operations in kafka_rights()
            for operation in operations
        ]
        for done in admin.create_acls(bindings, request_timeout=20).values():
            done.result(20)


def kafka_rights() -> list[tuple[str, str, list[str]]]:
    """Give (kind of resource, name, operations) of each row of the page's table."""
    rows = re.findall(r"^\| (topic|group|cluster) \| `?([^|`]*)`? \| ([A-Za-z, ]+) \|", PAGE.read_text("utf-8"), re.M)
    assert rows, "docs/security.md has no table of rights"
    return [(kind, name.strip(), [word.strip() for word in words.split(",")]) for kind, name, words in rows]


def redis_rights(prefix: str, user: str = USER) -> str:
    """Give the ACL rule that the page has for a user, for these keys."""
    (rule,) = re.findall(rf"^user {user} on (.*)$", PAGE.read_text("utf-8"), re.M)
    return str(rule).replace("~shop:", f"~{prefix}").replace("&shop:", f"&{prefix}")


class GuardedRedis:
    """Redis over TLS with an ACL: Debian's own where it is here, else Valkey behind a TLS front of ours."""

    def __init__(self, folder: Path, papers: Papers, prefix: str) -> None:
        self._papers = papers
        self._front: _TlsFront | None = None
        folder.mkdir(parents=True, exist_ok=True)
        users = folder / "users.acl"
        rule = redis_rights(prefix).replace(">PASSWORD", f">{papers.password}")
        users.write_text(
            f"user default off\nuser {USER} on {rule}\nuser admin on >{papers.admin_password} ~* &* +@all\n"
        )
        self._server = _RedisWithUsers(folder, users, papers if shutil.which("redis-server") else None)
        self._server.start_first()
        self.port = self._server.port
        if not self._server.has_tls:
            self._front = _TlsFront(papers, self._server.port)
            self.port = self._front.port

    def admin(self) -> Any:
        """Give a client that may do everything."""
        return redis.Redis(
            host=HOST,
            port=self.port,
            ssl=True,
            ssl_ca_certs=str(self._papers.ca),
            username="admin",
            password=self._papers.admin_password,
            decode_responses=True,
        )

    @contextmanager
    def asking_for_certificates(self) -> Iterator[bool]:
        """Refuse who shows none, for as long as the body runs; False where the server itself has no TLS."""
        if not self._server.has_tls:
            yield False
            return
        with self.admin() as admin:
            admin.config_set("tls-auth-clients", "yes")
            try:
                yield True
            finally:
                admin.config_set("tls-auth-clients", "no")

    def stop(self) -> None:
        """End it."""
        if self._front is not None:
            self._front.close()
        self._server.stop()


class _RedisWithUsers(ValkeyServer):
    def __init__(self, folder: Path, users: Path, papers: Papers | None) -> None:
        super().__init__(folder, lambda _: None)
        self._users = users
        self._papers = papers
        self.has_tls = papers is not None

    def command(self) -> list[str]:
        extra = ["--aclfile", str(self._users)]
        if self._papers is None:
            return [*super().command(), *extra]
        return [
            "redis-server",
            *("--bind", HOST, "--port", "0", "--tls-port", str(self.port), "--dir", str(self.folder), "--save", ""),
            *("--tls-cert-file", str(self._papers.certificate), "--tls-key-file", str(self._papers.key)),
            *("--tls-ca-cert-file", str(self._papers.ca), "--tls-auth-clients", "no", *extra),
        ]

    def answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as plain:
                connection: socket.socket = plain
                if self._papers is not None:
                    connection = ssl.create_default_context(cafile=self._papers.ca).wrap_socket(
                        plain, server_hostname=HOST
                    )
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"-NOAUTH", b"-NOPERM"))
        except OSError:
            return False


class _TlsFront:
    """Ends TLS in front of a server that has none: what is not TLS never reaches it."""

    def __init__(self, papers: Papers, behind: int) -> None:
        self._behind = behind
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(papers.certificate, papers.key)
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(plain,), daemon=True).start()

    def _carry(self, plain: socket.socket) -> None:
        import select

        try:
            with (
                self._context.wrap_socket(plain, server_side=True) as near,
                socket.create_connection((HOST, self._behind)) as far,
            ):
                while True:
                    ready = [near] if near.pending() else select.select([near, far], [], [])[0]
                    for source in ready:
                        data = source.recv(65_536)
                        if not data:
                            return
                        (far if source is near else near).sendall(data)
        except OSError:
            return

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


def wait_for_rights(settings: Any) -> None:
    """Wait until the broker acts upon its ACLs, which it learns a moment after they were made."""
    from flows.kafka.clients import KafkaProblem
    from flows.kafka.topics import create

    def made() -> bool:
        try:
            create(settings)
        except KafkaProblem:
            return False
        return True

    until(made, 30, "the rights")

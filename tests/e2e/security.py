"""The security settings of each foreign client, taken from what `weir certs show --for ...`
prints, so that the printed settings themselves are tested. It must never invent a setting.
"""

import ssl

from harness import check, run


def shown(broker, client):
    """What `weir certs show --for CLIENT` prints for the broker's TLS listener."""
    command = [broker.env.weir_binary, "certs", "show", broker.profile(), "--for", client]
    return run([*command, "--bootstrap", broker.tls_bootstrap]).stdout.decode()


def printed(broker, client):
    """The `key=value` settings that `weir certs show --for CLIENT` prints, as a table.

    Comments start with `#`; a backslash at the end of a line continues it, as in a Java file of
    properties."""
    text = shown(broker, client)
    table = {}
    logical = ""
    for line in text.splitlines():
        if not logical and (line.lstrip().startswith("#") or not line.strip()):
            continue
        if line.endswith("\\"):
            logical += line[:-1].lstrip() if logical else line[:-1]
            continue
        logical += line.lstrip() if logical else line
        key, _, value = logical.partition("=")
        table[key.strip()] = value.strip().replace("\\n", "\n")
        logical = ""
    check(table, f"`certs show --for {client}` printed no settings: {text[:300]}")
    return table


def _without_address(table):
    addresses = ("bootstrap.servers", "metadata.broker.list")
    return {key: value for key, value in table.items() if key not in addresses}


def librdkafka(env, broker):
    """For confluent-kafka and kcat."""
    del env
    return _without_address(printed(broker, "librdkafka"))


def java(env, broker):
    """For the official Java client."""
    del env
    return _without_address(printed(broker, "java"))


def kafka_python(env, broker):
    """kafka-python takes the same PEM files as librdkafka, or the same PEM text."""
    table = librdkafka(env, broker)
    files = {}
    for ours, theirs in [
        ("ca", "ssl.ca"),
        ("certificate", "ssl.certificate"),
        ("key", "ssl.key"),
    ]:
        if f"{theirs}.location" in table:
            files[ours] = table[f"{theirs}.location"]
        else:
            path = env.folder / f"{ours}.pem"
            path.write_text(table[f"{theirs}.pem"])
            files[ours] = str(path)
    context = ssl.create_default_context(cafile=files["ca"])
    context.load_cert_chain(files["certificate"], files["key"])
    return {"security_protocol": "SSL", "ssl_context": context}

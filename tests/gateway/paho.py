"""A client of paho-mqtt that knows nothing of us: it publishes at each QoS, waits for as many messages,
writes them out, and leaves.

Arguments: transport (tcp, websockets), version (3, 4, 5), port, client id, password, topic, payload;
a file of authorities for TLS may follow."""

import queue
import sys
import threading

import paho.mqtt.client as mqtt

transport, version, port, client_id, password, topic, payload = sys.argv[1:8]
authorities = sys.argv[8] if len(sys.argv) > 8 else None
subscribed, received, closed = threading.Event(), queue.Queue(), threading.Event()
LEVELS = (0, 1, 2)


def on_connect(client, _data, _flags, reason, _properties):
    if reason.is_failure:
        sys.exit(f"refused: {reason}")
    client.subscribe(f"boards/{client_id}/down/#", 2)


def on_message(_client, _data, message):
    print(message.topic, message.qos, message.payload.decode(), flush=True)
    received.put(message)


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2, client_id, transport=transport, protocol=int(version)
)
client.on_connect = on_connect
client.on_subscribe = lambda *_: subscribed.set()
client.on_message = on_message
client.on_disconnect = lambda *_: closed.set()
client.username_pw_set("enrol", password)
if authorities:
    client.tls_set(ca_certs=authorities)
client.connect("localhost", int(port), keepalive=20)
client.loop_start()
assert subscribed.wait(20), "no SUBACK"
for qos in LEVELS:
    published = client.publish(topic, payload.encode(), qos=qos)
    published.wait_for_publish(20)
    assert published.is_published(), f"not published at {qos}"
for _ in LEVELS:
    received.get(timeout=20)
client.disconnect()
assert closed.wait(20), "no end"

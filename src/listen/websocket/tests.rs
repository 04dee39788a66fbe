use super::*;
use crate::metrics::Metrics;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::Error as ClientError;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

type Client = WebSocketStream<DuplexStream>;
type Served = Result<(WebSocket<DuplexStream>, IpAddr), &'static str>;

fn upgrade() -> Arc<Upgrade> {
    let metrics = Metrics::new(prometheus::Registry::new()).unwrap();
    Arc::new(Upgrade {
        timeout: Duration::from_secs(10),
        message_len_max: 1024,
        trusted_proxies: vec!["192.0.2.0/24".parse().unwrap()],
        metrics: metrics.listener("mqtt"),
    })
}

/// Opens `path`, with more headers; what both sides have of it.
async fn open(
    path: &str,
    headers: &[(&'static str, &str)],
) -> (Result<(Client, String), ClientError>, Served) {
    let (ours, theirs) = duplex(4096);
    let mut request = format!("ws://localhost{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let upgrade = upgrade();
    let (client, served) = tokio::join!(client_async(request, theirs), upgrade.accept(ours, PEER));
    let client = client.map(|(client, response)| {
        let chosen = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
        (client, chosen.map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default())
    });
    (client, served)
}

async fn connected() -> (Client, WebSocket<DuplexStream>) {
    let (client, served) = open("/mqtt", &[("sec-websocket-protocol", "mqtt")]).await;
    (client.unwrap().0, served.unwrap().0)
}

#[tokio::test]
async fn a_request_must_ask_for_mqtt() {
    for (offered, chosen) in [("mqtt", "mqtt"), ("chat, MQTTv3.1 , mqtt", "mqttv3.1")] {
        let (client, served) = open("/mqtt", &[("sec-websocket-protocol", offered)]).await;
        // The client is as strict about its own spelling.
        if offered == "mqtt" {
            assert_eq!(client.unwrap().1, chosen);
        }
        assert!(served.is_ok(), "{offered}");
    }
    let status = |client: Result<(Client, String), ClientError>| match client {
        Err(ClientError::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    let (client, served) = open("/", &[("sec-websocket-protocol", "mqtt")]).await;
    assert_eq!((status(client), served.unwrap_err()), (404, "websocket_path"));
    let (client, served) = open("/mqtt", &[("sec-websocket-protocol", "chat")]).await;
    assert_eq!((status(client), served.unwrap_err()), (400, "websocket_subprotocol"));
    let (client, served) = open("/mqtt", &[]).await;
    assert_eq!((status(client), served.unwrap_err()), (400, "websocket_subprotocol"));
}

#[tokio::test]
async fn a_proxy_that_is_trusted_says_who_it_is() {
    let headers = [("sec-websocket-protocol", "mqtt"), ("x-forwarded-for", "198.51.100.7")];
    let (_, served) = open("/mqtt", &headers).await;
    assert_eq!(served.unwrap().1, IpAddr::from([198, 51, 100, 7]));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_given_up() {
    let (ours, mut theirs) = duplex(64);
    theirs.write_all(b"GET /mqtt HTTP/1.1\r\n").await.unwrap();
    let refused = upgrade().accept(ours, PEER).await;
    assert_eq!(refused.err(), Some("websocket_timeout"));
    let (ours, mut theirs) = duplex(64);
    theirs.write_all(b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0\r\n\r\n").await.unwrap();
    assert_eq!(upgrade().accept(ours, PEER).await.err(), Some("websocket"));
}

#[tokio::test]
async fn bytes_come_in_order_however_they_are_cut() {
    let (mut client, mut served) = connected().await;
    let sent: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let parts: Vec<_> = [1, 0, 7, 1000]
        .iter()
        .cycle()
        .scan(0, |at, len| {
            let start = *at;
            *at = (start + len).min(5_000);
            (start < 5_000).then(|| sent[start..*at].to_vec())
        })
        .collect();
    let sending = async {
        for part in parts {
            client.send(Message::Binary(part.into())).await.unwrap();
            client.send(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
        }
    };
    let mut read = vec![0; 5_000];
    let (_, all) = tokio::join!(sending, served.read_exact(&mut read));
    all.unwrap();
    assert_eq!(read, sent);

    // And back, more than one message long, while the peer reads.
    let large: Vec<u8> = (0..=255).cycle().take(SENT_LEN_MAX + 10).collect();
    let writing = async {
        served.write_all(&large).await.unwrap();
        served.flush().await.unwrap();
    };
    let reading = async {
        let mut back = Vec::new();
        while back.len() < large.len() {
            if let Message::Binary(part) = client.next().await.unwrap().unwrap() {
                back.extend_from_slice(&part);
            }
        }
        back
    };
    let ((), back) = tokio::join!(writing, reading);
    assert_eq!(back, large);
}

/// What the peer is told when it sends that; what was read before is read.
async fn told(bad: Message) -> u16 {
    let (mut client, mut served) = connected().await;
    let serving = async {
        let mut read = Vec::new();
        served.read_to_end(&mut read).await.unwrap();
        served.shutdown().await.unwrap();
        read
    };
    let sending = async {
        client.send(Message::Binary(Bytes::from_static(b"fine"))).await.unwrap();
        let _ = client.send(bad).await;
        loop {
            match client.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let (read, code) = tokio::join!(serving, sending);
    assert_eq!(read, b"fine");
    code
}

#[tokio::test]
async fn who_is_refused_is_told_why() {
    assert_eq!(told(Message::Text("hello".into())).await, 1003);
    assert_eq!(told(Message::Binary(vec![0; 1025].into())).await, 1009);
    let goodbye = CloseFrame { code: CloseCode::Away, reason: "".into() };
    assert_eq!(told(Message::Close(Some(goodbye))).await, 1001, "its own word comes back");
}

#[tokio::test]
async fn who_just_leaves_has_ended() {
    let (client, mut served) = connected().await;
    drop(client);
    let mut read = Vec::new();
    assert_eq!(served.read_to_end(&mut read).await.unwrap(), 0);
    assert!(served.write_all(b"x").await.is_err() || served.flush().await.is_err());
}

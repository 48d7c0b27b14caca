//! A gateway of straw with faults to order, and the proof that the load
//! generator finds each of them.
//!
//! One room over TLS: login, create, enter, start, send, like. What it does
//! wrong, it does to its first viewer only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use livegate_client::Roots;
use livegate_proto::Message;
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{self as wire, live_event, push, reply, room_message, send_request};
use livegate_proto::codec::{self, PREFIX_LEN, Split};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::board::Board;
use crate::clock::Clock;
use crate::identity::{App, DEV_APP, DEV_KEY};
use crate::judge;
use crate::plan::{Crash, Messages, Phases, Plan};
use crate::progress::Progress;
use crate::report::Figures;
use crate::site::{Site, Sources};
use crate::worker::Orders;

/// What the gateway does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Leaves a message out.
    Drop,
    /// Leaves the last message out.
    DropLast,
    /// Says a message twice.
    Repeat,
    /// Says a message after its successor.
    Swap,
    /// Changes a byte of the content.
    Damage,
    /// Says another message's content under the same seq.
    Differ,
    /// Forgets a like.
    WrongTotal,
    /// Tells the end of the live twice.
    EndTwice,
    /// Does not tell it.
    NoEnd,
    /// Tells an end although the host is there.
    FalseEnd,
}

/// Frames that wait for a client; more than a plan says in all.
const MAX_FRAMES: usize = 4_096;

/// The message that is treated wrongly.
const VICTIM: u64 = 7;

struct Straw {
    fault: Fault,
    seq: u64,
    likes: u64,
    host: Option<u64>,
    members: BTreeMap<u64, Seat>,
    room: String,
}

struct Seat {
    frames: mpsc::Sender<Vec<u8>>,
    is_victim: bool,
    held: Option<wire::Push>,
}

impl Straw {
    fn push(&mut self, body: push::Body) -> u64 {
        let sequenced = !matches!(body, push::Body::Totals(_));
        self.seq += u64::from(sequenced);
        let push = wire::Push {
            room_id: self.room.clone(),
            epoch: 1,
            seq: if sequenced { self.seq } else { 0 },
            time_ms: 1,
            body: Some(body),
        };
        let fault = self.fault;
        for seat in self.members.values_mut() {
            seat.tell(&push, fault);
        }
        self.seq
    }

    fn live(&mut self, kind: live_event::Kind) {
        self.push(push::Body::Live(wire::LiveEvent {
            live_id: "LIVE".into(),
            kind: Some(kind),
        }));
    }
}

impl Seat {
    fn tell(&mut self, push: &wire::Push, fault: Fault) {
        let fault = if self.is_victim { fault } else { Fault::None };
        let mut push = push.clone();
        let last = push.seq > VICTIM;
        if push.seq == VICTIM {
            match fault {
                Fault::Drop => return,
                Fault::Repeat => self.send(&push),
                Fault::Swap => {
                    self.held = Some(push);
                    return;
                }
                Fault::Damage => change(&mut push, |text| text.replace_range(60..61, "!")),
                Fault::Differ => change(&mut push, |text| {
                    let stamp = crate::payload::read(text.as_bytes()).unwrap();
                    let other = crate::payload::Stamp {
                        number: stamp.number + 1_000,
                        ..stamp
                    };
                    *text = crate::payload::write(&other, text.len());
                }),
                _ => {}
            }
        }
        match (&mut push.body, fault) {
            (Some(push::Body::RoomMessage(_)), Fault::DropLast) if last => return,
            (Some(push::Body::Totals(totals)), Fault::WrongTotal) => totals.likes -= 1,
            (Some(push::Body::Live(event)), fault) => {
                if matches!(event.kind, Some(live_event::Kind::Ended(_))) {
                    match fault {
                        Fault::NoEnd => return,
                        Fault::EndTwice => self.send(&wire::Push {
                            seq: 0,
                            ..push.clone()
                        }),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        self.send(&push);
        if let Some(held) = self.held.take() {
            self.send(&held);
        }
    }

    fn send(&self, push: &wire::Push) {
        let frame = wire::ServerFrame {
            pushes: vec![push.clone()],
            ..wire::ServerFrame::default()
        };
        let _ = self.frames.try_send(framed(&frame));
    }
}

fn change(push: &mut wire::Push, edit: impl FnOnce(&mut String)) {
    if let Some(push::Body::RoomMessage(message)) = &mut push.body
        && let Some(room_message::Content::Text(text)) = &mut message.content
    {
        edit(&mut text.text);
    }
}

fn framed(frame: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::append(frame, &mut bytes);
    bytes
}

/// Serves one connection until it ends; a host that leaves is away at once and
/// its live over after 200 ms.
async fn serve(straw: Arc<Mutex<Straw>>, tcp: TcpStream, tls: TlsAcceptor, id: u64) {
    let Ok(stream) = tls.accept(tcp).await else {
        return;
    };
    let (mut read, mut write) = tokio::io::split(stream);
    let (tell, mut frames) = mpsc::channel::<Vec<u8>>(MAX_FRAMES);
    let writing = async {
        while let Some(frame) = frames.recv().await {
            if write.write_all(&frame).await.is_err() || write.flush().await.is_err() {
                return;
            }
        }
    };
    let reading = async {
        let mut buffer = Vec::new();
        while read.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
            while let Ok(Split::Frame { end }) = codec::split(&buffer, 1 << 20) {
                let frame = wire::ClientFrame::decode(&buffer[PREFIX_LEN..end]).unwrap();
                buffer.drain(..end);
                answer(&straw, id, &tell, frame);
            }
        }
    };
    tokio::select! {
        () = writing => {}
        () = reading => {}
    }
    let left = {
        let mut straw = straw.lock();
        straw.members.remove(&id);
        straw.host.take_if(|host| *host == id).is_some()
    };
    if left {
        straw
            .lock()
            .live(live_event::Kind::Away(wire::HostAway::default()));
        tokio::time::sleep(Duration::from_millis(200)).await;
        straw
            .lock()
            .live(live_event::Kind::Ended(wire::LiveEnded::default()));
    }
}

fn answer(straw: &Mutex<Straw>, id: u64, tell: &mpsc::Sender<Vec<u8>>, frame: wire::ClientFrame) {
    let mut straw = straw.lock();
    let mut then = Vec::new();
    let body = match frame.body.unwrap() {
        Body::Login(_) => Some(reply::Body::Login(wire::LoginReply::default())),
        Body::CreateRoom(create) => {
            straw.room = create.room_id.clone();
            Some(reply::Body::CreateRoom(wire::CreateRoomReply {
                room_id: create.room_id,
            }))
        }
        Body::EnterRoom(_) => {
            let is_victim = straw.members.len() == 2;
            let seat = Seat {
                frames: tell.clone(),
                is_victim,
                held: None,
            };
            straw.members.insert(id, seat);
            Some(reply::Body::EnterRoom(wire::EnterRoomReply {
                room: Some(Box::new(wire::RoomSnapshot {
                    epoch: 1,
                    seq: straw.seq,
                    ..wire::RoomSnapshot::default()
                })),
                ..wire::EnterRoomReply::default()
            }))
        }
        Body::StartLive(_) => {
            straw.host = Some(id);
            Some(reply::Body::StartLive(wire::StartLiveReply {
                live_id: "LIVE".into(),
                ..wire::StartLiveReply::default()
            }))
        }
        Body::Send(send) => Some(reply::Body::Send(said(&mut straw, send, &mut then))),
        _ => None,
    };
    let reply = wire::Reply {
        request_id: frame.request_id,
        body,
        ..wire::Reply::default()
    };
    let frame = wire::ServerFrame {
        reply: Some(reply),
        ..wire::ServerFrame::default()
    };
    let _ = tell.try_send(framed(&frame));
    for kind in then {
        straw.live(kind);
    }
}

fn said(
    straw: &mut Straw,
    send: wire::SendRequest,
    then: &mut Vec<live_event::Kind>,
) -> wire::SendReply {
    let content = match send.content.unwrap() {
        send_request::Content::Like(like) => {
            straw.likes += u64::from(like.count);
            let likes = straw.likes;
            straw.push(push::Body::Totals(wire::Totals { likes }));
            return wire::SendReply::default();
        }
        send_request::Content::Text(text) => room_message::Content::Text(text),
        other => panic!("not in these plans: {other:?}"),
    };
    let seq = straw.push(push::Body::RoomMessage(wire::RoomMessage {
        content: Some(content),
        ..wire::RoomMessage::default()
    }));
    if seq == VICTIM && straw.fault == Fault::FalseEnd {
        then.push(live_event::Kind::Ended(wire::LiveEnded::default()));
    }
    wire::SendReply {
        seq,
        epoch: 1,
        ..wire::SendReply::default()
    }
}

/// Starts a gateway of straw on the current runtime.
async fn gateway(fault: Fault) -> (SocketAddr, Roots) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let roots = Roots::pem(made.cert.pem().as_bytes()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![livegate_proto::ALPN.to_vec()];
    let tls = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let straw = Arc::new(Mutex::new(Straw {
        fault,
        seq: 0,
        likes: 0,
        host: None,
        members: BTreeMap::new(),
        room: String::new(),
    }));
    let tasks = tokio_util::task::TaskTracker::new();
    let inner = tasks.clone();
    tasks.spawn(async move {
        for id in 0.. {
            let (tcp, _) = listener.accept().await.unwrap();
            inner.spawn(serve(straw.clone(), tcp, tls.clone(), id));
        }
    });
    (addr, roots)
}

fn plan(fault: Fault) -> Plan {
    let ms = Duration::from_millis;
    let crash = matches!(fault, Fault::EndTwice | Fault::NoEnd);
    // What is withheld for good is waited for in vain.
    let withheld = matches!(
        fault,
        Fault::DropLast | Fault::NoEnd | Fault::EndTwice | Fault::WrongTotal
    );
    let mut plan = Plan {
        viewers: 6,
        workers: 2,
        phases: Phases {
            ramp: 500,
            warm_up: ms(0),
            steady: ms(900),
            drain: if withheld { ms(700) } else { ms(20_000) },
        },
        messages: Messages {
            publishers: 1,
            text: 20.0,
            like: 5.0,
            payload_bytes: 100,
            ..Messages::default()
        },
        ..Plan::default()
    };
    plan.host.grace = ms(200);
    plan.host.crash = crash.then_some(Crash {
        at: ms(500),
        returns_after: None,
    });
    plan
}

/// Plays a short plan against a gateway with `fault`.
fn figures(fault: Fault) -> (Figures, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (public, roots) = gateway(fault).await;
        let site = Site {
            public,
            internal: None,
            pid: None,
            server_name: "localhost".to_owned(),
            roots,
            certificate: std::path::PathBuf::new(),
            app: App::new(DEV_APP, DEV_KEY),
        };
        let plan = plan(fault);
        let orders = Arc::new(Orders {
            board: Arc::new(Board::new(1, 2)),
            sources: Sources::new(&site, 1_000),
            run: "t".to_owned(),
            plan,
            site,
            clock: Clock::start(),
            processes: None,
        });
        let mut progress = Progress::new(true);
        let (catch, _) = crate::run::drive(&orders, None, &mut progress)
            .await
            .unwrap();
        let figures = judge::sum_up(&orders.plan, &orders.board, catch);
        let checks = judge::judge(&orders.plan, &figures);
        let broken = checks.iter().filter(|check| !check.held);
        let broken = broken.map(|check| check.name.clone()).collect();
        (figures, broken)
    })
}

#[test]
fn a_gateway_without_fault_passes() {
    let (figures, broken) = figures(Fault::None);
    assert!(broken.is_empty(), "{broken:?} {figures:?}");
    let tally = &figures.tally;
    assert_eq!(tally.entered, 8);
    let texts = tally.accepted - tally.sent / 5;
    assert_eq!(tally.deliveries, texts * 8);
}

#[test]
fn a_message_that_is_left_out_is_found() {
    assert_eq!(figures(Fault::Drop).1, ["lost", "gaps"]);
}

#[test]
fn a_tail_that_is_left_out_is_found() {
    assert_eq!(figures(Fault::DropLast).1, ["lost"]);
}

#[test]
fn a_message_that_is_said_twice_is_found() {
    assert_eq!(figures(Fault::Repeat).1, ["duplicates"]);
}

#[test]
fn messages_in_the_wrong_order_are_found() {
    assert_eq!(figures(Fault::Swap).1, ["gaps", "out of order"]);
}

#[test]
fn damaged_content_is_found() {
    assert_eq!(figures(Fault::Damage).1, ["corrupt or foreign"]);
}

#[test]
fn members_who_are_told_different_things_are_found() {
    assert_eq!(figures(Fault::Differ).1, ["corrupt or foreign"]);
}

#[test]
fn a_wrong_total_is_found() {
    assert_eq!(figures(Fault::WrongTotal).1, ["wrong totals"]);
}

#[test]
fn an_end_that_is_told_twice_is_found() {
    assert_eq!(figures(Fault::EndTwice).1, ["ends told wrongly"]);
}

#[test]
fn an_end_that_is_not_told_is_found() {
    assert!(
        figures(Fault::NoEnd)
            .1
            .iter()
            .any(|name| name == "ends told wrongly")
    );
}

#[test]
fn an_end_that_never_was_is_found() {
    assert_eq!(figures(Fault::FalseEnd).1, ["ends told wrongly"]);
}

//! Transfers over a real store and a real disk.
#![expect(clippy::disallowed_methods, reason = "a test looks at, and harms, files of ours")]

use super::*;
use crate::commands::Desk;
use crate::lines::Lines;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::secrets::KEY_LEN;
use crate::store::{SqliteOptions, SqliteStore, UploadRow, WriteError, WriterOptions};
use bytes::Bytes;
use firmware::Label;
use futures_util::stream;
use http_body_util::BodyExt as _;
use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::sync::mpsc;

struct Scene {
    transfers: Arc<Transfers>,
    pipeline: Pipeline,
    store: Arc<dyn Store>,
    writer: Writer,
    folder: TempDir,
}

fn options() -> TransferOptions {
    let mut options = TransferOptions::from(&config::Config::default());
    options.image_quota = 1 << 20;
    options.upload_quota = 1 << 20;
    options.upload_max = 600 << 10;
    options.uploads_per_device = 2;
    options
}

impl Scene {
    async fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap()).await
    }

    async fn on(folder: TempDir) -> Self {
        let file = folder.path().join("store.db");
        let store = SqliteStore::open(SqliteOptions::new(file, 64 << 20)).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        let clock = Clock::start();
        let vault = Vault::new(&[7; KEY_LEN]);
        let parts = Parts { store: Arc::clone(&store), writer: writer.clone(), vault, clock };
        let metrics = prometheus::Registry::new();
        let transfers = Transfers::new(parts, folder.path(), options(), &metrics).unwrap();
        transfers.load().await.unwrap();
        transfers.set_base(Base::Url("http://gateway.example".into()));
        let registry = Arc::new(Registry::new());
        let (wake, _) = mpsc::channel(8);
        let lines = Arc::new(Lines::default());
        let (of_desk, to_desk) = (Arc::clone(&store), Arc::clone(&registry));
        let desk = Desk::new(of_desk, writer.clone(), to_desk, lines, clock, wake);
        let pipeline = Pipeline::new(writer.clone(), registry, Arc::new(desk), clock);
        Self { transfers, pipeline, store, writer, folder }
    }

    /// Stops and starts again on the same files.
    async fn again(self) -> Self {
        self.store.close().await;
        let Self { transfers, pipeline, store, writer, folder } = self;
        drop((transfers, pipeline, store, writer));
        Self::on(folder).await
    }

    async fn put(&self, name: &str, content: &[u8], may_replace: bool) -> Result<(), WriteError> {
        let length = content.len() as u64;
        let mut incoming = self.transfers.begin_image(&tenant(), length).await.unwrap();
        take(&mut incoming, content).await.unwrap();
        let received = incoming.finish().await.unwrap();
        let image = Image {
            group: None,
            tenant: tenant(),
            name: ImageName::new(name).unwrap(),
            model: Some(Label::new("HG8245").unwrap()),
            version: None,
            file_type: FileType::default(),
            bytes: received.bytes,
            sha256: received.sha256,
            signature: None,
            created_at: Timestamp::from_second(1).unwrap(),
        };
        let row = ImageRow { image, file: received.id.clone() };
        let put = Operation::PutImage { row, may_replace };
        self.writer.transact(vec![put.clone()]).await?;
        self.transfers.committed(&put);
        received.keep();
        Ok(())
    }

    async fn read(&self, name: &str) -> Vec<u8> {
        let row = self.transfers.image(&tenant(), &ImageName::new(name).unwrap()).unwrap();
        let body = self.transfers.image_body(&row).await.unwrap();
        body.collect().await.unwrap().to_bytes().to_vec()
    }

    /// A device sends this.
    async fn upload(&self, content: &[u8]) -> Result<(), WriteError> {
        let ticket = self.inbox();
        let length = content.len() as u64;
        let mut incoming = self.transfers.begin_inbox(&ticket, length).await.unwrap();
        take(&mut incoming, content).await.unwrap();
        let received = incoming.finish().await.unwrap();
        self.transfers.keep_upload(&self.pipeline, ticket, "config.xml".into(), received).await
    }

    fn inbox(&self) -> Ticket {
        let valid = Duration::from_secs(60);
        let file_type = "1 Vendor Configuration File";
        let inbox = to(None, |to| self.transfers.inbox(to, file_type, valid));
        let url = inbox.unwrap().address.url;
        let token = url.expose().strip_prefix("http://gateway.example/uploads/").unwrap();
        self.transfers.open_inbox(token).unwrap()
    }

    async fn uploads(&self) -> Vec<UploadRow> {
        let (tenant, device) = (tenant(), device());
        let all = Uploads::Of { tenant, device, before: None };
        self.store.uploads(&all, 100).await.unwrap()
    }

    /// The files there are, the removal of others awaited.
    async fn files(&self, kind: &str, expected: usize) -> Vec<PathBuf> {
        let folder = self.folder.path().join(kind).join("default");
        for _ in 0..1_000 {
            let files = crate::files::list(&folder).unwrap_or_default();
            if files.len() == expected {
                return files;
            }
            tokio::task::yield_now().await;
            tokio::task::spawn_blocking(|| {}).await.unwrap();
        }
        panic!("{:?}", crate::files::list(&folder));
    }
}

async fn take(incoming: &mut Incoming, content: &[u8]) -> Result<(), ReceiveError> {
    let pieces = content.chunks(10_000).map(Bytes::copy_from_slice).map(Ok::<_, Infallible>);
    let mut source = stream::iter(pieces.collect::<Vec<_>>());
    let limits = Limits { bytes_max: 600 << 10, idle_timeout: Duration::from_secs(5) };
    receive(&mut source, incoming, limits).await
}

fn tenant() -> Tenant {
    Tenant::default()
}

fn device() -> DeviceId {
    DeviceId::cwmp("00259E", "HG8245", "1").unwrap()
}

fn to<T>(called_at: Option<&str>, tell: impl FnOnce(Recipient<'_>) -> T) -> T {
    let (tenant, device, command) = (tenant(), device(), command());
    tell(Recipient { tenant: &tenant, device: &device, command: &command, called_at })
}

fn command() -> CommandId {
    CommandId::new("01HZZZZZZZZZZZZZZZZZZZZZZZ").unwrap()
}

#[tokio::test]
async fn an_image_is_offered_by_an_address_of_its_own() {
    let scene = Scene::new().await;
    scene.put("fw.bin", b"one", false).await.unwrap();
    let valid = Duration::from_secs(60);
    let offer = |image| to(None, |to| scene.transfers.offer(to, image, valid));
    let file = offer("fw.bin").unwrap();
    assert_eq!((file.file_bytes, &*file.file_type), (3, "1 Firmware Upgrade Image"));
    assert_eq!(&*file.target_file_name, "fw.bin");
    let url = file.address.url.expose();
    let (token, name) = url.rsplit_once('/').unwrap();
    let token = token.strip_prefix("http://gateway.example/firmware/").unwrap();
    assert_eq!(name, "fw.bin");
    let (ticket, row) = scene.transfers.open_image(token, name).unwrap();
    assert_eq!((&ticket.device, &ticket.command), (&device(), &command()));
    assert_eq!(row.unwrap().image.bytes, 3);

    let none = TransferError::NoSuchImage("other.bin".into());
    assert_eq!(offer("other.bin"), Err(none));
    assert!(offer("../fw.bin").is_err());
    scene.put("fw.bin", b"two!", true).await.unwrap();
    let (_, row) = scene.transfers.open_image(token, name).unwrap();
    assert_eq!(row, None, "what was offered is no longer there");
}

#[tokio::test]
async fn an_image_changes_only_where_that_is_asked_for() {
    let scene = Scene::new().await;
    scene.put("fw.bin", b"one", false).await.unwrap();
    let first = scene.files("images", 1).await;
    scene.put("fw.bin", b"one", false).await.unwrap();
    assert_eq!(scene.files("images", 1).await, first, "the same content keeps its file");
    let refused = scene.put("fw.bin", b"two", false).await;
    assert!(matches!(refused, Err(WriteError::Refused(_))), "{refused:?}");
    assert_eq!(scene.read("fw.bin").await, b"one");
    scene.put("fw.bin", b"two", true).await.unwrap();
    assert_eq!(scene.read("fw.bin").await, b"two");
    assert_ne!(scene.files("images", 1).await, first);

    let scene = scene.again().await;
    assert_eq!(scene.read("fw.bin").await, b"two");
    let name = ImageName::new("fw.bin").unwrap();
    let remove = Operation::RemoveImage { tenant: tenant(), name: name.clone() };
    scene.writer.transact(vec![remove.clone()]).await.unwrap();
    scene.transfers.committed(&remove);
    assert_eq!(scene.transfers.image(&tenant(), &name), None);
    scene.files("images", 0).await;
    assert!(scene.writer.transact(vec![remove]).await.is_err());
}

#[tokio::test]
async fn a_crash_leaves_nothing_half() {
    let scene = Scene::new().await;
    scene.put("fw.bin", b"one", false).await.unwrap();
    scene.upload(b"<config/>").await.unwrap();
    for kind in ["images", "uploads"] {
        let folder = scene.folder.path().join(kind).join("default");
        fs::write(folder.join("01HALF.part"), b"half").unwrap();
        fs::write(folder.join("01WHOLE"), b"not in the store").unwrap();
    }
    let scene = scene.again().await;
    scene.files("images", 1).await;
    scene.files("uploads", 1).await;
    assert_eq!(scene.read("fw.bin").await, b"one");
}

#[tokio::test]
async fn what_is_not_finished_or_not_kept_goes() {
    let scene = Scene::new().await;
    let mut incoming = scene.transfers.begin_image(&tenant(), 1 << 20).await.unwrap();
    take(&mut incoming, b"half").await.unwrap();
    scene.files("images", 1).await;
    let full = scene.transfers.begin_image(&tenant(), 1).await;
    assert!(matches!(full, Err(ReceiveError::Full)), "the quota is spoken for");
    drop(incoming);
    scene.files("images", 0).await;
    let mut incoming = scene.transfers.begin_image(&tenant(), 1 << 20).await.unwrap();
    take(&mut incoming, b"whole").await.unwrap();
    let received = incoming.finish().await.unwrap();
    // What it did not need is free again.
    let second = scene.transfers.begin_image(&tenant(), 1 << 19).await.unwrap();
    drop(received);
    drop(second);
    scene.files("images", 0).await;
    assert!(scene.transfers.begin_image(&tenant(), 1 << 20).await.is_ok());
}

#[tokio::test]
async fn a_file_that_is_too_long_or_stops_is_refused() {
    let scene = Scene::new().await;
    let limits = |bytes_max| Limits { bytes_max, idle_timeout: Duration::from_millis(20) };
    let mut incoming = scene.transfers.begin_image(&tenant(), 100).await.unwrap();
    let whole = || stream::iter([Ok::<_, Infallible>(Bytes::from_static(&[7; 100]))]);
    let taken = receive(&mut whole(), &mut incoming, limits(99)).await;
    assert!(matches!(taken, Err(ReceiveError::TooLong)), "{taken:?}");
    let mut stuck = futures_util::StreamExt::chain(whole(), stream::pending());
    let taken = receive(&mut stuck, &mut incoming, limits(1_000)).await;
    assert!(matches!(taken, Err(ReceiveError::Slow)), "{taken:?}");
    let mut broken = stream::iter([Ok(Bytes::from_static(b"a")), Err("gone")]);
    let taken = receive(&mut broken, &mut incoming, limits(1_000)).await;
    assert!(matches!(taken, Err(ReceiveError::Broken)), "{taken:?}");
}

#[tokio::test]
async fn an_upload_is_kept_encrypted_with_its_event() {
    let scene = Scene::new().await;
    let mut content = b"WPA-SECRET".to_vec();
    content.extend((0..500_000_u32).map(|at| u8::try_from(at % 251).unwrap()));
    scene.upload(&content).await.unwrap();
    let rows = scene.uploads().await;
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.bytes, &*row.name), (500_010, "config.xml"));
    let body = scene.transfers.upload_body(row).await.unwrap();
    assert!(body.collect().await.unwrap().to_bytes() == content);
    let file = &scene.files("uploads", 1).await[0];
    let kept = fs::read(file).unwrap();
    assert!(kept.len() > content.len());
    assert!(!kept.windows(10).any(|it| it == b"WPA-SECRET"), "it lies in the clear");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);

    let heads = scene.store.head().await.unwrap();
    assert_eq!(heads[0].sequence, 1);
    let start = crate::store::Position { shard: 0, sequence: 0 };
    let event = scene.store.events_after(start, 1, 1_000).await.unwrap().remove(0);
    assert_eq!(&*event.kind, "lastmile.upload.received");
    let data: serde_json::Value = serde_json::from_str(event.data.as_str()).unwrap();
    assert_eq!(data["id"], *row.id);
    assert_eq!(data["sha256"], row.sha256.to_string());
}

#[tokio::test]
async fn an_upload_that_was_changed_on_disk_is_not_served() {
    let scene = Scene::new().await;
    scene.upload(&[5; 1_000]).await.unwrap();
    let rows = scene.uploads().await;
    let file = scene.files("uploads", 1).await.remove(0);
    let mut kept = fs::read(&file).unwrap();
    kept[40] ^= 1;
    fs::write(&file, kept).unwrap();
    let body = scene.transfers.upload_body(&rows[0]).await.unwrap();
    assert!(body.collect().await.is_err());
}

#[tokio::test]
async fn only_the_newest_uploads_of_a_device_stay() {
    let scene = Scene::new().await;
    for content in [&b"one"[..], b"two", b"three"] {
        scene.upload(content).await.unwrap();
    }
    let lengths: Vec<_> = scene.uploads().await.iter().map(|row| row.bytes).collect();
    // Within one millisecond names sort by chance.
    assert_eq!(lengths.len(), 2, "{lengths:?}");
    scene.files("uploads", 2).await;
}

#[tokio::test]
async fn what_was_kept_long_enough_goes() {
    let scene = Scene::new().await;
    scene.upload(b"new").await.unwrap();
    let old = UploadRow {
        id: "01AAAA".into(),
        received_at: Timestamp::from_second(1).unwrap(),
        ..scene.uploads().await.remove(0)
    };
    scene.writer.transact(vec![Operation::PutUpload(old)]).await.unwrap();
    assert_eq!(scene.uploads().await.len(), 2);
    scene.transfers.expire().await.unwrap();
    let rows = scene.uploads().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].bytes, 3);
    scene.files("uploads", 1).await;
}

#[test]
fn a_full_disk_is_told_from_a_broken_one() {
    use std::io::Write as _;
    let path = Path::new("/dev/full");
    let mut full = fs::OpenOptions::new().write(true).open(path).unwrap();
    let error = full.write_all(b"x").unwrap_err();
    let error = ReceiveError::from(FileError::new("write", path, error));
    assert!(matches!(error, ReceiveError::Full), "{error:?}");
    let broken = FileError::new("write", path, std::io::Error::other("it smokes"));
    assert!(matches!(ReceiveError::from(broken), ReceiveError::Disk(_)));
}

#[tokio::test]
async fn where_devices_cannot_reach_us_nothing_is_offered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(SqliteOptions::new(file, 64 << 20)).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let (writer, _task) = Writer::new(Arc::clone(&store), WriterOptions::default());
    let parts = Parts { store, writer, vault: Vault::new(&[7; 32]), clock: Clock::start() };
    let metrics = prometheus::Registry::new();
    let transfers = Transfers::new(parts, folder.path(), options(), &metrics).unwrap();
    let valid = Duration::from_secs(60);
    let inbox = |called_at| to(called_at, |to| transfers.inbox(to, "2 Vendor Log File", valid));
    assert_eq!(inbox(Some("acs.example")), Err(TransferError::NoAddress), "before it listens");
    transfers.set_base(Base::Called(8080));
    assert_eq!(inbox(None), Err(TransferError::NoAddress));
    let url = |host| inbox(Some(host)).unwrap().address.url.0;
    assert!(url("acs.example").starts_with("http://acs.example:8080/uploads/"));
    assert!(url("[2001:db8::1]").starts_with("http://[2001:db8::1]:8080/uploads/"));
}

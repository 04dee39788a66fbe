//! Files and software modules: asked for, and ended by what the device tells later.

use super::harness::{Harness, command, fault, known};
use crate::cwmp::{
    Body, DuOperation, DuResult, DuStateChange, Fault, FileAddress, Known, Message, Options,
    Outcome, QueuedTransfer, Quirks, Request, Response, SupportedFile, TransferComplete, Work,
};
use crate::{inform, informing, message, now, outstanding};
use model::{Command, CommandState, Redacted};
use serde_json::json;
use std::time::Duration;

const DOWNLOAD: &str = r#"{"kind":"download","image":"router.bin","delay_s":5}"#;
const SCHEDULED: &str =
    r#"{"kind":"schedule_download","image":"router.bin","windows":[{"start_s":0,"end_s":3600}]}"#;
const UPLOAD: &str = r#"{"kind":"upload","file_type":"2 Vendor Log File"}"#;
const CHANGE: &str = r#"{"kind":"change_du_state","operations":[{"operation":"install","image":"a.ipk","uuid":"u1"},{"operation":"uninstall","uuid":"u2"},{"operation":"update","image":"b.ipk","uuid":"u3"}]}"#;

fn file(name: &str) -> SupportedFile {
    let url = Redacted(format!("http://acs/firmware/token/{name}").into());
    SupportedFile {
        address: FileAddress { url, ..FileAddress::default() },
        file_type: "1 Firmware Upgrade Image".into(),
        file_bytes: 9,
        target_file_name: name.into(),
    }
}

fn transfer(id: &str, kind: &str, names: &[&str]) -> Work {
    let mut work = command(id, kind);
    let Work::Command { support, .. } = &mut work else { panic!() };
    support.files = names.iter().map(|name| file(name)).collect();
    work
}

fn complete(key: &str, fault: Option<u16>) -> Message {
    let fault = fault.map(|code| Box::new(Fault { code, text: "x".into(), parameters: vec![] }));
    message(Body::TransferComplete(Box::new(TransferComplete {
        command_key: key.into(),
        fault,
        complete_time: "2026-01-01T00:00:00Z".into(),
        ..TransferComplete::default()
    })))
}

#[test]
fn a_download_is_done_at_once_or_when_the_device_says_so() {
    let mut it = Harness::assigned(vec![transfer("C1", DOWNLOAD, &["router.bin"])]);
    it.commit();
    let Some(Request::Download(download)) = it.calls.last() else { panic!() };
    assert_eq!((&*download.command_key, download.delay_s, download.file_bytes), ("C1", 5, 9));
    assert_eq!(&**download.address.url.expose(), "http://acs/firmware/token/router.bin");
    it.answer(Response::Download { status: 0 });
    assert_eq!(it.take(), ["C1 sent", "send Download", "C1 done"]);

    let mut it = Harness::assigned(vec![transfer("C1", DOWNLOAD, &["router.bin"])]);
    it.commit();
    it.answer(Response::Download { status: 1 });
    it.commit();
    assert_eq!(it.take(), ["C1 sent", "send Download", "C1 delivered", "decide"]);
    it.session.assign([], now());
    it.drain();
    it.take();

    // Another in place of the end of the session: within the same one.
    let mut it = Harness::assigned(vec![
        transfer("C1", DOWNLOAD, &["router.bin"]),
        command("C2", r#"{"kind":"get_rpc_methods"}"#),
    ]);
    it.commit();
    it.answer(Response::Download { status: 1 });
    it.commit();
    it.commit();
    it.take();
    it.receive(complete("C1", None));
    let expected = ["C2 failed: not answered", "C1 done", "event lastmile.transfer.completed"];
    assert_eq!(it.take(), expected);
}

fn met_again(kind: &str) -> Harness {
    let known = Known { outstanding: vec![outstanding("C1", kind)], ..known(&[]) };
    let mut it = Harness::new(known, Options::default());
    it.receive(informing(inform(&["7 TRANSFER COMPLETE", "M Download"], &[])));
    assert_eq!(it.take(), ["send InformResponse"]);
    it
}

#[test]
fn a_transfer_ends_in_a_later_session() {
    for kind in [DOWNLOAD, SCHEDULED, UPLOAD] {
        let mut it = met_again(kind);
        it.receive(complete("C1", None));
        it.commit();
        let expected =
            ["C1 done", "event lastmile.transfer.completed", "send TransferCompleteResponse"];
        assert_eq!(it.take(), expected);
        assert_eq!(it.result()["complete_time"], "2026-01-01T00:00:00Z");
        it.receive(complete("C1", None));
        assert_eq!(it.take(), ["event lastmile.transfer.completed"], "ended once");
    }
    let mut it = met_again(DOWNLOAD);
    it.receive(complete("C9", None));
    assert_eq!(it.take(), ["event lastmile.transfer.completed"], "of someone else's");
    // A device that forgets the key can mean only the one.
    let mut it = met_again(DOWNLOAD);
    it.receive(complete("", None));
    assert_eq!(it.take()[0], "C1 done");
    let mut it = met_again(CHANGE);
    it.receive(complete("C1", None));
    assert_eq!(it.take(), ["event lastmile.transfer.completed"], "no transfer of that name");
}

#[test]
fn a_failed_transfer_says_which_file_and_what_to_do() {
    let cause = |kind: &str, code: u16| {
        let mut it = met_again(kind);
        it.receive(complete("C1", Some(code)));
        let change = it.changes.last().unwrap();
        assert_eq!(change.state, CommandState::Failed);
        (change.cause.as_deref().unwrap().to_owned(), change.may_pass)
    };
    let (words, may_pass) = cause(DOWNLOAD, 9015);
    let expected = "the download of router.bin failed: 9015 could not reach the file server; see \
                    that the device can reach public.url";
    assert_eq!((&*words, may_pass), (expected, true));
    let (words, may_pass) = cause(DOWNLOAD, 9018);
    assert!(words.ends_with("; see that the image is made for this model"), "{words}");
    assert!(!may_pass);
    let (words, may_pass) = cause(UPLOAD, 9011);
    assert!(words.starts_with("the upload of 2 Vendor Log File failed: 9011 "), "{words}");
    assert!(may_pass);
    for code in [9010, 9016, 9017, 9020] {
        assert!(cause(SCHEDULED, code).1, "{code}");
    }
}

#[test]
fn what_has_no_file_is_not_sent() {
    for kind in [DOWNLOAD, SCHEDULED, UPLOAD] {
        let it = Harness::assigned(vec![command("C1", kind)]);
        assert_eq!(it.said, ["C1 failed: the file's address is not known"]);
    }
    let it = Harness::assigned(vec![transfer("C1", CHANGE, &["a.ipk"])]);
    assert_eq!(it.said, ["C1 failed: the file's address is not known"], "of two");
    let none = r#"{"kind":"change_du_state","operations":[]}"#;
    let it = Harness::assigned(vec![command("C1", none)]);
    assert_eq!(it.said, ["C1 failed: no operation is named"]);
}

#[test]
fn uploads_and_schedules_are_asked_for() {
    let mut it = Harness::assigned(vec![
        transfer("C1", UPLOAD, &["log"]),
        transfer("C2", SCHEDULED, &["router.bin"]),
    ]);
    it.commit();
    it.answer(Response::Upload { status: 1 });
    it.commit();
    it.commit();
    it.answer(Response::ScheduleDownload);
    let expected = [
        "C1 sent",
        "send Upload",
        "C1 delivered",
        "C2 sent",
        "send ScheduleDownload",
        "C2 delivered",
    ];
    assert_eq!(it.take(), expected);
    let Request::Upload(upload) = &it.calls[0] else { panic!() };
    assert_eq!((&*upload.command_key, &*upload.file_type), ("C1", "2 Vendor Log File"));
    let Request::ScheduleDownload(scheduled) = &it.calls[1] else { panic!() };
    assert_eq!(scheduled.windows.len(), 1);
}

#[test]
fn a_refused_transfer_says_what_to_do() {
    let mut it = Harness::assigned(vec![transfer("C1", DOWNLOAD, &["router.bin"])]);
    it.commit();
    it.receive(fault(9013));
    let cause = it.changes.last().unwrap().cause.clone().unwrap();
    assert!(cause.starts_with("the device refused: 9013 protocol"), "{cause}");
    assert!(cause.contains("public.url"), "{cause}");
    assert_eq!(it.answered, [("Download", Outcome::Refused(9013))]);
}

#[test]
fn a_transfer_that_is_cancelled_ends() {
    let cancel = r#"{"kind":"cancel_transfer","command":"C1"}"#;
    let known = Known { outstanding: vec![outstanding("C1", DOWNLOAD)], ..known(&[]) };
    let mut it = Harness::new(known, Options::default());
    it.receive(informing(inform(&["2 PERIODIC"], &[])));
    it.receive(Message::empty());
    it.take();
    let mut it = it.given(vec![command("C2", cancel)]);
    it.commit();
    let Some(Request::CancelTransfer { command_key }) = it.calls.last() else { panic!() };
    assert_eq!(&**command_key, "C1");
    it.answer(Response::CancelTransfer);
    let said = it.take();
    let dropped = "C1 failed: the device has dropped it, as command C2 told it to";
    assert_eq!(said, ["C2 sent", "send CancelTransfer", dropped, "C2 done"]);

    let mut it = Harness::assigned(vec![command("C2", cancel)]);
    it.commit();
    it.receive(fault(9021));
    let cause = it.changes.last().unwrap().cause.as_deref();
    let expected = "the device refused: 9021 transfer can not be cancelled in its present state";
    assert_eq!(cause, Some(expected));
}

#[test]
fn transfers_are_listed() {
    let queued = QueuedTransfer { command_key: "C1".into(), state: 2, ..QueuedTransfer::default() };
    let mut it = Harness::assigned(vec![
        command("C2", r#"{"kind":"get_transfers"}"#),
        command("C3", r#"{"kind":"get_transfers","all":true}"#),
    ]);
    it.commit();
    it.answer(Response::GetQueuedTransfers { transfers: vec![queued.clone()] });
    let expected = json!({"transfers": [{"command_key": "C1", "state": "under way"}]});
    assert_eq!(it.result(), expected);
    it.commit();
    it.commit();
    let all = QueuedTransfer { is_download: Some(true), file_bytes: 9, ..queued };
    it.answer(Response::GetAllQueuedTransfers { transfers: vec![all] });
    assert_eq!(it.result()["transfers"][0]["is_download"], true);
    let names: Vec<_> = it.calls.iter().map(Request::name).collect();
    assert_eq!(names, ["GetQueuedTransfers", "GetAllQueuedTransfers"]);
}

#[test]
fn software_modules_are_changed() {
    let mut it = Harness::assigned(vec![transfer("C1", CHANGE, &["a.ipk", "b.ipk"])]);
    it.commit();
    let Some(Request::ChangeDuState { operations, command_key }) = it.calls.last() else {
        panic!()
    };
    assert_eq!(&**command_key, "C1");
    let urls: Vec<_> = operations.iter().map(url).collect();
    let a = "http://acs/firmware/token/a.ipk";
    let b = "http://acs/firmware/token/b.ipk";
    assert_eq!(urls, [Some(a), None, Some(b)], "files in order of the operations that fetch");
    it.answer(Response::ChangeDuState);
    assert_eq!(it.take(), ["C1 sent", "send ChangeDUState", "C1 delivered"]);
}

fn url(operation: &DuOperation) -> Option<&str> {
    match operation {
        DuOperation::Install { address, .. } | DuOperation::Update { address, .. } => {
            Some(address.url.expose())
        }
        DuOperation::Uninstall { .. } => None,
    }
}

fn changed(key: &str, faults: &[Option<u16>]) -> Message {
    let result = |fault: &Option<u16>| DuResult {
        state: if fault.is_some() { "Failed" } else { "Installed" }.into(),
        fault: fault.map(|code| Box::new(Fault { code, ..Fault::default() })),
        ..DuResult::default()
    };
    let results = faults.iter().map(result).collect();
    let change = DuStateChange { results, command_key: key.into() };
    message(Body::DuStateChangeComplete(Box::new(change)))
}

#[test]
fn a_change_of_software_ends_when_the_device_says_so() {
    let known = Known { outstanding: vec![outstanding("C1", CHANGE)], ..known(&[]) };
    let session = || {
        let mut it = Harness::new(known.clone(), Options::default());
        it.receive(informing(inform(&["11 DU STATE CHANGE COMPLETE"], &[])));
        it.take();
        it
    };
    let mut it = session();
    it.receive(changed("C1", &[None, None, None]));
    it.commit();
    let expected =
        ["C1 done", "event lastmile.software.changed", "send DUStateChangeCompleteResponse"];
    assert_eq!(it.take(), expected);
    assert_eq!(it.result()["operations"].as_array().unwrap().len(), 3);
    let mut it = session();
    it.receive(changed("C1", &[None, Some(9028), None]));
    let expected = "C1 failed: operation 2 (uninstall) failed: 9028 unknown deployment unit";
    assert_eq!(it.take()[0], expected);
    let mut it = session();
    it.receive(changed("C2", &[None]));
    assert_eq!(it.take(), ["event lastmile.software.changed"]);
}

/// What becomes of a Download when its device restarts that long after it was asked.
fn restarted(quirks: Quirks, command: Command, codes: &[&str], after: u64) -> Vec<String> {
    let known = Known { outstanding: vec![command], quirks, ..known(&[]) };
    let mut it = Harness::new(known, Options::default());
    it.now = now().after(Duration::from_secs(after));
    it.receive(informing(inform(codes, &[])));
    it.take().into_iter().filter(|said| said.starts_with("C1")).collect()
}

#[test]
fn a_model_that_never_tells_has_succeeded_when_it_restarts() {
    let quirks = Quirks { download_success_on_timeout: true, ..Quirks::default() };
    let download = || outstanding("C1", DOWNLOAD);
    let boot = ["1 BOOT"];
    let done = "C1 done: no TransferComplete came; the model never sends one, and the device has \
                restarted since";
    assert_eq!(restarted(quirks, download(), &boot, 300), [done]);
    let nothing: [String; 0] = [];
    assert_eq!(restarted(quirks, download(), &boot, 299), nothing, "it may still be under way");
    assert_eq!(restarted(quirks, download(), &["2 PERIODIC"], 900), nothing);
    let tells = ["1 BOOT", "7 TRANSFER COMPLETE"];
    assert_eq!(restarted(quirks, download(), &tells, 900), nothing, "it does tell");
    assert_eq!(restarted(Quirks::default(), download(), &boot, 900), nothing);
    assert_eq!(restarted(quirks, outstanding("C1", UPLOAD), &boot, 900), nothing);
    let unknown = Command { state: CommandState::Unknown, ..download() };
    assert_eq!(restarted(quirks, unknown, &boot, 900), nothing, "it may never have been asked");
}

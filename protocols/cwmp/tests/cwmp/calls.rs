//! Known answers: each call and its answer as TR-069 has them, written and read.

use crate::cwmp::{
    Attributes, Body, Download, DuOperation, DuResult, DuStateChange, Fault, FileAddress,
    FileTypeArg, Kicked, OptionStruct, QueuedTransfer, Request, RequestDownload, Response,
    ScheduleDownload, SetAttributes, TransferComplete, Upload,
};
use crate::{envelope, message};
use model::{Redacted, TimeWindow};

/// Written, it is this; and this, read, is it again.
fn is(body: Body, xml: &str) {
    let written = message(body.clone()).encode();
    assert!(written.contains(xml), "{xml}\nis not in\n{written}");
    assert_eq!(crate::decode(&envelope(xml)).unwrap().body, body, "{xml}");
}

fn asks(request: Request, xml: &str) {
    is(Body::Request(Box::new(request)), xml);
}

fn answers(response: Response, xml: &str) {
    is(Body::Response(Box::new(response)), xml);
}

fn address() -> FileAddress {
    FileAddress {
        url: Redacted("https://192.0.2.1/f?a=1&b=2".into()),
        username: Redacted("u".into()),
        password: Redacted("p".into()),
    }
}

const ADDRESS: &str = "<URL>https://192.0.2.1/f?a=1&amp;b=2</URL><Username>u</Username>\
     <Password>p</Password>";

#[test]
fn attributes() {
    asks(
        Request::GetParameterAttributes { names: vec!["Device.A".into()] },
        "<cwmp:GetParameterAttributes><ParameterNames soap-enc:arrayType=\"xsd:string[1]\">\
         <string>Device.A</string></ParameterNames></cwmp:GetParameterAttributes>",
    );
    let attributes = vec![
        SetAttributes { name: "Device.A".into(), notification: Some(2), access_list: None },
        SetAttributes {
            name: "Device.B.".into(),
            notification: None,
            access_list: Some(vec!["Subscriber".into()]),
        },
    ];
    asks(
        Request::SetParameterAttributes { attributes },
        "<cwmp:SetParameterAttributes>\
         <ParameterList soap-enc:arrayType=\"cwmp:SetParameterAttributesStruct[2]\">\
         <SetParameterAttributesStruct><Name>Device.A</Name>\
         <NotificationChange>1</NotificationChange><Notification>2</Notification>\
         <AccessListChange>0</AccessListChange>\
         <AccessList soap-enc:arrayType=\"xsd:string[0]\"></AccessList>\
         </SetParameterAttributesStruct><SetParameterAttributesStruct><Name>Device.B.</Name>\
         <NotificationChange>0</NotificationChange><Notification>0</Notification>\
         <AccessListChange>1</AccessListChange>\
         <AccessList soap-enc:arrayType=\"xsd:string[1]\"><string>Subscriber</string></AccessList>\
         </SetParameterAttributesStruct></ParameterList></cwmp:SetParameterAttributes>",
    );
    let access_list = vec!["Subscriber".into()];
    let attributes = vec![Attributes { name: "Device.A".into(), notification: 1, access_list }];
    answers(
        Response::GetParameterAttributes { attributes },
        "<cwmp:GetParameterAttributesResponse>\
         <ParameterList soap-enc:arrayType=\"cwmp:ParameterAttributeStruct[1]\">\
         <ParameterAttributeStruct><Name>Device.A</Name><Notification>1</Notification>\
         <AccessList soap-enc:arrayType=\"xsd:string[1]\"><string>Subscriber</string></AccessList>\
         </ParameterAttributeStruct></ParameterList></cwmp:GetParameterAttributesResponse>",
    );
}

#[test]
fn transfers_of_ours() {
    let download = Download {
        command_key: "k".into(),
        file_type: "1 Firmware Upgrade Image".into(),
        address: address(),
        file_bytes: 5,
        target_file_name: "f.bin".into(),
        delay_s: 3,
    };
    asks(
        Request::Download(Box::new(download)),
        &format!(
            "<cwmp:Download><CommandKey>k</CommandKey><FileType>1 Firmware Upgrade Image</FileType>\
             {ADDRESS}<FileSize>5</FileSize><TargetFileName>f.bin</TargetFileName>\
             <DelaySeconds>3</DelaySeconds><SuccessURL></SuccessURL><FailureURL></FailureURL>\
             </cwmp:Download>"
        ),
    );
    let upload = Upload {
        command_key: "k".into(),
        file_type: "2 Vendor Log File".into(),
        address: address(),
        delay_s: 0,
    };
    asks(
        Request::Upload(Box::new(upload)),
        &format!(
            "<cwmp:Upload><CommandKey>k</CommandKey><FileType>2 Vendor Log File</FileType>{ADDRESS}\
             <DelaySeconds>0</DelaySeconds></cwmp:Upload>"
        ),
    );
    let windows = vec![TimeWindow {
        start_s: 60,
        end_s: 3600,
        mode: "1 At Any Time".into(),
        user_message: String::new(),
        retries_max: -1,
    }];
    let schedule = ScheduleDownload { address: address(), windows, ..ScheduleDownload::default() };
    asks(
        Request::ScheduleDownload(Box::new(schedule)),
        &format!(
            "<cwmp:ScheduleDownload><CommandKey></CommandKey><FileType></FileType>{ADDRESS}\
             <FileSize>0</FileSize><TargetFileName></TargetFileName>\
             <TimeWindowList soap-enc:arrayType=\"cwmp:TimeWindowStruct[1]\"><TimeWindowStruct>\
             <WindowStart>60</WindowStart><WindowEnd>3600</WindowEnd>\
             <WindowMode>1 At Any Time</WindowMode><UserMessage></UserMessage>\
             <MaxRetries>-1</MaxRetries></TimeWindowStruct></TimeWindowList></cwmp:ScheduleDownload>"
        ),
    );
    asks(
        Request::CancelTransfer { command_key: "k".into() },
        "<cwmp:CancelTransfer><CommandKey>k</CommandKey></cwmp:CancelTransfer>",
    );
    answers(
        Response::Download { status: 1 },
        "<cwmp:DownloadResponse><Status>1</Status><StartTime>0001-01-01T00:00:00Z</StartTime>\
         <CompleteTime>0001-01-01T00:00:00Z</CompleteTime></cwmp:DownloadResponse>",
    );
}

#[test]
fn transfers_in_the_queue() {
    asks(Request::GetQueuedTransfers, "<cwmp:GetQueuedTransfers></cwmp:GetQueuedTransfers>");
    let mut transfer =
        QueuedTransfer { command_key: "k".into(), state: 2, ..QueuedTransfer::default() };
    answers(
        Response::GetQueuedTransfers { transfers: vec![transfer.clone()] },
        "<cwmp:GetQueuedTransfersResponse>\
         <TransferList soap-enc:arrayType=\"cwmp:QueuedTransferStruct[1]\"><QueuedTransferStruct>\
         <CommandKey>k</CommandKey><State>2</State></QueuedTransferStruct></TransferList>\
         </cwmp:GetQueuedTransfersResponse>",
    );
    transfer.is_download = Some(true);
    transfer.file_type = "1 F".into();
    transfer.file_bytes = 7;
    answers(
        Response::GetAllQueuedTransfers { transfers: vec![transfer] },
        "<cwmp:GetAllQueuedTransfersResponse>\
         <TransferList soap-enc:arrayType=\"cwmp:AllQueuedTransferStruct[1]\">\
         <AllQueuedTransferStruct><CommandKey>k</CommandKey><State>2</State>\
         <IsDownload>1</IsDownload><FileType>1 F</FileType><FileSize>7</FileSize>\
         <TargetFileName></TargetFileName></AllQueuedTransferStruct></TransferList>\
         </cwmp:GetAllQueuedTransfersResponse>",
    );
}

#[test]
fn software_modules() {
    let operations = vec![
        DuOperation::Install { address: address(), uuid: "1".into(), environment: "E.1".into() },
        DuOperation::Update { uuid: "2".into(), version: "".into(), address: address() },
        DuOperation::Uninstall { uuid: "3".into(), version: "1".into(), environment: "".into() },
    ];
    asks(
        Request::ChangeDuState { operations, command_key: "k".into() },
        &format!(
            "<cwmp:ChangeDUState><Operations xsi:type=\"cwmp:InstallOpStruct\">\
             <URL>https://192.0.2.1/f?a=1&amp;b=2</URL><UUID>1</UUID><Username>u</Username>\
             <Password>p</Password><ExecutionEnvRef>E.1</ExecutionEnvRef></Operations>\
             <Operations xsi:type=\"cwmp:UpdateOpStruct\"><UUID>2</UUID>{ADDRESS}</Operations>\
             <Operations xsi:type=\"cwmp:UninstallOpStruct\"><UUID>3</UUID><Version>1</Version>\
             </Operations><CommandKey>k</CommandKey></cwmp:ChangeDUState>"
        ),
    );
    let fault = Fault { code: 9027, text: "full".into(), ..Fault::default() };
    let mut result = DuResult {
        uuid: "1".into(),
        deployment_unit: "D.1".into(),
        version: "2".into(),
        state: "Failed".into(),
        resolved: true,
        execution_units: vec!["E.1".into(), "E.2".into()],
        start_time: "s".into(),
        complete_time: "c".into(),
        fault: Some(Box::new(fault)),
        operation: "".into(),
    };
    let fields = "<UUID>1</UUID><DeploymentUnitRef>D.1</DeploymentUnitRef><Version>2</Version>\
         <CurrentState>Failed</CurrentState><Resolved>1</Resolved>\
         <ExecutionUnitRefList>E.1,E.2</ExecutionUnitRefList><StartTime>s</StartTime>\
         <CompleteTime>c</CompleteTime><Fault><FaultCode>9027</FaultCode>\
         <FaultString>full</FaultString></Fault>";
    let change = DuStateChange { results: vec![result.clone()], command_key: "k".into() };
    is(
        Body::DuStateChangeComplete(Box::new(change)),
        &format!(
            "<cwmp:DUStateChangeComplete><Results>{fields}</Results><CommandKey>k</CommandKey>\
             </cwmp:DUStateChangeComplete>"
        ),
    );
    result.operation = "Install".into();
    let change = DuStateChange { results: vec![result], ..DuStateChange::default() };
    is(
        Body::AutonomousDuStateChangeComplete(Box::new(change)),
        &format!(
            "<cwmp:AutonomousDUStateChangeComplete><Results>{fields}\
             <OperationPerformed>Install</OperationPerformed></Results>\
             </cwmp:AutonomousDUStateChangeComplete>"
        ),
    );
}

#[test]
fn what_a_device_tells() {
    let kicked =
        Kicked { command: "c".into(), referer: "r".into(), arg: "a".into(), next: "n".into() };
    is(
        Body::Kicked(Box::new(kicked)),
        "<cwmp:Kicked><Command>c</Command><Referer>r</Referer><Arg>a</Arg><Next>n</Next>\
         </cwmp:Kicked>",
    );
    answers(
        Response::Kicked { next_url: "n".into() },
        "<cwmp:KickedResponse><NextURL>n</NextURL></cwmp:KickedResponse>",
    );
    let args = vec![FileTypeArg { name: "Version".into(), value: "1".into() }];
    is(
        Body::RequestDownload(Box::new(RequestDownload { file_type: "1 F".into(), args })),
        "<cwmp:RequestDownload><FileType>1 F</FileType>\
         <FileTypeArg soap-enc:arrayType=\"cwmp:ArgStruct[1]\"><ArgStruct><Name>Version</Name>\
         <Value>1</Value></ArgStruct></FileTypeArg></cwmp:RequestDownload>",
    );
    let transfer = TransferComplete {
        announce_url: "a".into(),
        transfer_url: "t".into(),
        is_download: true,
        file_type: "1 F".into(),
        file_bytes: 9,
        target_file_name: "f".into(),
        start_time: "s".into(),
        complete_time: "c".into(),
        ..TransferComplete::default()
    };
    is(
        Body::AutonomousTransferComplete(Box::new(transfer)),
        "<cwmp:AutonomousTransferComplete><AnnounceURL>a</AnnounceURL>\
         <TransferURL>t</TransferURL><IsDownload>1</IsDownload><FileType>1 F</FileType>\
         <FileSize>9</FileSize><TargetFileName>f</TargetFileName><FaultStruct>\
         <FaultCode>0</FaultCode><FaultString></FaultString></FaultStruct>\
         <StartTime>s</StartTime><CompleteTime>c</CompleteTime></cwmp:AutonomousTransferComplete>",
    );
}

#[test]
fn the_small_ones() {
    asks(
        Request::ScheduleInform { delay_s: 30, command_key: "k".into() },
        "<cwmp:ScheduleInform><DelaySeconds>30</DelaySeconds><CommandKey>k</CommandKey>\
         </cwmp:ScheduleInform>",
    );
    asks(
        Request::GetOptions { option: "o".into() },
        "<cwmp:GetOptions><OptionName>o</OptionName></cwmp:GetOptions>",
    );
    let option = OptionStruct {
        name: "o".into(),
        voucher_serial: "7".into(),
        state: 3,
        mode: 2,
        start_date: "s".into(),
        expiration_date: "".into(),
        is_transferable: true,
    };
    answers(
        Response::GetOptions { options: vec![option] },
        "<cwmp:GetOptionsResponse><OptionList soap-enc:arrayType=\"cwmp:OptionStruct[1]\">\
         <OptionStruct><OptionName>o</OptionName><VoucherSN>7</VoucherSN><State>3</State>\
         <Mode>2</Mode><StartDate>s</StartDate><IsTransferable>1</IsTransferable></OptionStruct>\
         </OptionList></cwmp:GetOptionsResponse>",
    );
    asks(
        Request::SetVouchers { vouchers: vec![Redacted("YQ==".into())] },
        "<cwmp:SetVouchers><VoucherList soap-enc:arrayType=\"soap-enc:base64[1]\">\
         <base64>YQ==</base64></VoucherList></cwmp:SetVouchers>",
    );
    let asked = message(Body::Request(Box::new(Request::GetRpcMethods))).encode();
    assert!(asked.contains("<cwmp:GetRPCMethods></cwmp:GetRPCMethods>"), "{asked}");
    assert_eq!(
        crate::decode(&asked).unwrap().body,
        Body::GetRpcMethods,
        "the words of either side"
    );
}

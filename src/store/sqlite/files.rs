//! The catalogue of images, and what devices have sent. The bytes themselves are not here.

use super::apply::Fault;
use super::column::{self, nanos, number, text, text_if_any, undecodable};
use crate::store::{ImageRow, Operation, OperationError, UploadRow, Uploads};
use firmware::{FileType, Image, ImageName, Label, Sha256};
use model::{CommandId, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

/// Applies an operation on images or uploads.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    operation: &Operation,
) -> Result<(), Fault> {
    match operation {
        Operation::PutImage { row, may_replace } => put_image(connection, row, *may_replace).await,
        Operation::RemoveImage { tenant, name } => remove_image(connection, tenant, name).await,
        Operation::PutUpload(row) => put_upload(connection, row).await,
        Operation::RemoveUpload { tenant, id } => {
            let removed = sqlx::query("DELETE FROM upload WHERE id = ? AND tenant = ?")
                .bind(&**id)
                .bind(tenant.as_str())
                .execute(connection)
                .await?;
            // Whoever removed the row removes the file: nobody else may.
            if removed.rows_affected() == 0 {
                return Err(OperationError::Missing("upload").into());
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn put_image(
    connection: &mut SqliteConnection,
    row: &ImageRow,
    may_replace: bool,
) -> Result<(), Fault> {
    let ImageRow { image, file } = row;
    let (tenant, name) = (image.tenant.as_str(), image.name.as_str());
    let kept = sqlx::query("SELECT sha256 FROM image WHERE tenant = ? AND name = ?")
        .bind(tenant)
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?;
    let (model, version) = (label(image.model.as_ref()), label(image.version.as_ref()));
    let group = label(image.group.as_ref());
    let signature = image.signature.as_ref().map(|it| it.as_bytes().as_slice());
    if let Some(kept) = kept {
        if sha256(&kept, 0)? == image.sha256 {
            // The same content: its file and its time stay, what is said of it is replaced.
            sqlx::query(
                "UPDATE image SET model = ?, device_group = ?, version = ?, file_type = ?, \
                 signature = ifnull(?, signature) \
                 WHERE tenant = ? AND name = ?",
            )
            .bind(model)
            .bind(group)
            .bind(version)
            .bind(image.file_type.as_str())
            .bind(signature)
            .bind(tenant)
            .bind(name)
            .execute(connection)
            .await?;
            return Ok(());
        }
        if !may_replace {
            let why = "an image of this name has other content; `?replace=true` replaces it";
            return Err(OperationError::Conflict(why).into());
        }
    }
    sqlx::query(
        "INSERT OR REPLACE INTO image (tenant, name, model, version, file_type, bytes, sha256, \
         created_at, file, signature, device_group) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
    )
    .bind(tenant)
    .bind(name)
    .bind(model)
    .bind(version)
    .bind(image.file_type.as_str())
    .bind(number(image.bytes))
    .bind(image.sha256.0.as_slice())
    .bind(nanos(image.created_at))
    .bind(&**file)
    .bind(signature)
    .bind(group)
    .execute(connection)
    .await?;
    Ok(())
}

fn label(label: Option<&Label>) -> Option<&str> {
    label.map(Label::as_str)
}

async fn remove_image(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    name: &ImageName,
) -> Result<(), Fault> {
    let removed = sqlx::query("DELETE FROM image WHERE tenant = ? AND name = ?")
        .bind(tenant.as_str())
        .bind(name.as_str())
        .execute(connection)
        .await?;
    if removed.rows_affected() == 0 {
        return Err(OperationError::Missing("image").into());
    }
    Ok(())
}

async fn put_upload(connection: &mut SqliteConnection, row: &UploadRow) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO upload (id, tenant, device, command, file_type, name, bytes, sha256, \
         received_at) VALUES (?,?,?,?,?,?,?,?,?)",
    )
    .bind(&*row.id)
    .bind(row.tenant.as_str())
    .bind(row.device.as_str())
    .bind(row.command.as_str())
    .bind(row.file_type.as_str())
    .bind(&*row.name)
    .bind(number(row.bytes))
    .bind(row.sha256.0.as_slice())
    .bind(nanos(row.received_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads every image.
pub(super) async fn images(pool: &SqlitePool) -> Result<Vec<ImageRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT tenant, name, model, version, file_type, bytes, sha256, created_at, file, \
         signature, device_group FROM image ORDER BY tenant, name",
    )
    .fetch_all(pool)
    .await?;
    let read = |row: &SqliteRow| -> Result<ImageRow, sqlx::Error> {
        let label = |column| -> Result<Option<Label>, sqlx::Error> {
            let text = text_if_any(row, column)?;
            let label = text.map(|text| Label::new(&text)).transpose();
            label.map_err(|_| undecodable("a model, group or version"))
        };
        let image = Image {
            tenant: column::tenant(row, 0)?,
            name: ImageName::new(&text(row, 1)?).map_err(|_| undecodable("an image's name"))?,
            model: label(2)?,
            group: label(10)?,
            version: label(3)?,
            file_type: file_type(row, 4)?,
            bytes: column::sequence(row, 5)?,
            sha256: sha256(row, 6)?,
            signature: signature(row, 9)?,
            created_at: column::time(row, 7)?,
        };
        Ok(ImageRow { image, file: text(row, 8)? })
    };
    rows.iter().map(read).collect()
}

const UPLOAD: &str = "SELECT id, tenant, device, command, file_type, name, bytes, sha256, \
                      received_at FROM upload";

/// Reads uploads, newest first but for what is to be removed.
pub(super) async fn uploads(
    pool: &SqlitePool,
    which: &Uploads,
    rows_max: usize,
) -> Result<Vec<UploadRow>, sqlx::Error> {
    let rows_max = number(rows_max as u64);
    let rows = match which {
        Uploads::One { tenant, id } => {
            let statement = format!("{UPLOAD} WHERE id = ? AND tenant = ?");
            let query = sqlx::query(sqlx::AssertSqlSafe(statement));
            query.bind(&**id).bind(tenant.as_str()).fetch_all(pool).await?
        }
        Uploads::Of { tenant, device, before } => {
            let statement = format!(
                "{UPLOAD} WHERE tenant = ?1 AND device = ?2 AND (?3 IS NULL OR id < ?3) \
                 ORDER BY id DESC LIMIT ?4"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(statement));
            let query = query.bind(tenant.as_str()).bind(device.as_str()).bind(before.as_deref());
            query.bind(rows_max).fetch_all(pool).await?
        }
        Uploads::Oldest { after } => {
            let statement = format!("{UPLOAD} WHERE ?1 IS NULL OR id > ?1 ORDER BY id LIMIT ?2");
            let query = sqlx::query(sqlx::AssertSqlSafe(statement));
            query.bind(after.as_deref()).bind(rows_max).fetch_all(pool).await?
        }
    };
    let read = |row: &SqliteRow| -> Result<UploadRow, sqlx::Error> {
        Ok(UploadRow {
            id: text(row, 0)?,
            tenant: column::tenant(row, 1)?,
            device: column::device(row, 2)?,
            command: CommandId::new(&text(row, 3)?).ok_or_else(|| undecodable("a command"))?,
            file_type: file_type(row, 4)?,
            name: text(row, 5)?,
            bytes: column::sequence(row, 6)?,
            sha256: sha256(row, 7)?,
            received_at: column::time(row, 8)?,
        })
    };
    rows.iter().map(read).collect()
}

fn file_type(row: &SqliteRow, column: usize) -> Result<FileType, sqlx::Error> {
    FileType::new(&text(row, column)?).map_err(|_| undecodable("a file type"))
}

fn signature(
    row: &SqliteRow,
    column: usize,
) -> Result<Option<firmware::ImageSignature>, sqlx::Error> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    let read = |bytes: &[u8]| bytes.try_into().map(firmware::ImageSignature::from_bytes);
    bytes.map(read).transpose().map_err(|_| undecodable("a signature"))
}

fn sha256(row: &SqliteRow, column: usize) -> Result<Sha256, sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map(Sha256).map_err(|_| undecodable("a hash"))
}

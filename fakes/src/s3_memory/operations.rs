//! The S3 operations besides listing, over [`Objects`](super::objects::Objects).

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::blob::{body, collect};
use super::objects::{Content, Object as Stored, meets, precondition};
use super::serve::Shared;
use crate::lock;

/// The backend behind the protocol.
pub(super) struct Operations(pub(super) Arc<Shared>);

#[async_trait::async_trait]
impl S3 for Operations {
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        if !lock(&self.0.objects).create_bucket(&req.input.bucket) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", req.input.bucket)) }))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        lock(&self.0.objects).check_bucket(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let bucket = |name: &String| Bucket { name: Some(name.clone()), ..Default::default() };
        let buckets = lock(&self.0.objects).buckets().map(bucket).collect();
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(buckets), ..Default::default() }))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        let object = Stored {
            content: Content::Bytes(collect(input.body).await?),
            ..described(input.storage_class, input.metadata, input.content_type)
        };
        let e_tag = Some(ETag::Strong(object.etag()));
        lock(&self.0.objects).put_if(&input.bucket, &input.key, object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        Ok(S3Response::new(PutObjectOutput { e_tag, ..Default::default() }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let object = lock(&self.0.objects).get(&input.bucket, &input.key)?;
        check(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let size = object.size();
        let range = match &input.range {
            None => 0..size,
            Some(range) => range.check(size)?,
        };
        let content_range = input.range.map(|_| format!("bytes {}-{}/{size}", range.start, range.end - 1));
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(signed(range.end - range.start)),
            body: Some(body(&object, range)),
            content_range,
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(ETag::Strong(object.etag())),
            last_modified: Some(Timestamp::from(object.modified)),
            metadata: Some(object.metadata.into_iter().collect()),
            content_type: object.content_type,
            storage_class: Some(StorageClass::from(object.storage_class)),
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let object = lock(&self.0.objects).get(&input.bucket, &input.key)?;
        check(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(signed(object.size())),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(ETag::Strong(object.etag())),
            last_modified: Some(Timestamp::from(object.modified)),
            metadata: Some(object.metadata.into_iter().collect()),
            content_type: object.content_type,
            storage_class: Some(StorageClass::from(object.storage_class)),
            ..Default::default()
        }))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let mut objects = lock(&self.0.objects);
        objects.check_bucket(&req.input.bucket)?;
        objects.delete(&req.input.bucket, &req.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let mut objects = lock(&self.0.objects);
        objects.check_bucket(&req.input.bucket)?;
        let deleted = req.input.delete.objects.into_iter().map(|object| {
            objects.delete(&req.input.bucket, &object.key);
            DeletedObject { key: Some(object.key), ..Default::default() }
        });
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted.collect()), ..Default::default() }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        let mut objects = lock(&self.0.objects);
        objects.check_bucket(&input.bucket)?;
        let empty = described(input.storage_class, input.metadata, input.content_type);
        let upload_id = Some(objects.start_upload(empty));
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id,
            ..Default::default()
        }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let bytes = collect(req.input.body).await?;
        let e_tag = Some(ETag::Strong(Stored::bytes(bytes.clone()).etag()));
        let number = req.input.part_number;
        lock(&self.0.objects).put_part(&req.input.upload_id, number, bytes)?;
        Ok(S3Response::new(UploadPartOutput { e_tag, ..Default::default() }))
    }

    async fn upload_part_copy(&self, req: S3Request<UploadPartCopyInput>) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let CopySource::Bucket { bucket, key, .. } = &req.input.copy_source else {
            return Err(s3_error!(NotImplemented));
        };
        let mut objects = lock(&self.0.objects);
        let source = objects.get(bucket, key)?;
        let Content::Bytes(bytes) = &source.content else {
            return Err(s3_error!(NotImplemented, "Objects without bytes cannot be copied"));
        };
        objects.put_part(&req.input.upload_id, req.input.part_number, bytes.clone())?;
        let result = CopyPartResult { e_tag: Some(ETag::Strong(source.etag())), ..Default::default() };
        Ok(S3Response::new(UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let mut objects = lock(&self.0.objects);
        let upload = objects.upload(&input.upload_id)?;
        let named = input.multipart_upload.and_then(|upload| upload.parts);
        let mut whole = BytesMut::new();
        for part in named.unwrap_or_default() {
            let bytes = part.part_number.and_then(|number| upload.parts.get(&number));
            whole.extend_from_slice(bytes.ok_or_else(|| s3_error!(InvalidPart))?);
        }
        let object = Stored { content: Content::Bytes(whole.freeze()), modified: SystemTime::now(), ..upload.empty.clone() };
        let e_tag = Some(ETag::Strong(object.etag()));
        // An upload that was refused can still be completed.
        objects.put_if(&input.bucket, &input.key, object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        objects.end_upload(&input.upload_id)?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag,
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        lock(&self.0.objects).end_upload(&req.input.upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// An empty object with what came in the headers.
fn described(class: Option<StorageClass>, metadata: Option<Metadata>, content_type: Option<ContentType>) -> Stored {
    let mut object = Stored::bytes(Bytes::new());
    if let Some(class) = class {
        object = object.storage_class(class.as_str());
    }
    object.metadata = metadata.into_iter().flatten().collect();
    object.content_type = content_type;
    object
}

/// The conditions of a read.
fn check(object: &Stored, if_match: Option<&ETagCondition>, if_none_match: Option<&ETagCondition>) -> S3Result<()> {
    if if_match.is_some_and(|wanted| !meets(wanted, object)) {
        return Err(precondition());
    }
    if if_none_match.is_some_and(|known| meets(known, object)) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).expect("no object is that large")
}

"""Make a bucket with versions and the rules of `lifecycle.json`: `python make_bucket.py NAME`. Repeating it changes nothing.

The address and the credentials come from the environment (`AWS_*`). It waits half a minute for a server that starts.
"""

import json
import os
import sys
from pathlib import Path

import boto3
from botocore.config import Config

name, home = sys.argv[1], "us-east-1"  # the region that has no name for S3
region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or home
client = boto3.client("s3", region_name=region, config=Config(retries={"mode": "standard", "max_attempts": 8}))
if name not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
    place = {} if region == home else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    client.create_bucket(Bucket=name, **place)
client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
rules = json.loads(Path(__file__).with_name("lifecycle.json").read_text("utf-8"))
client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=rules)
sys.stdout.write(f"The bucket {name} keeps old versions for 7 days.\n")

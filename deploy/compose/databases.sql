-- Run once, when PostgreSQL's volume is new. The database `study` holds the ledger and exists already.
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_users;

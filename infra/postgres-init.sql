-- Prefect's database is made by the image itself; MLflow has its own beside it.
CREATE DATABASE stsflow_mlflow OWNER stsflow;

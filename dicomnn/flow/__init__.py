"""The walks: ingest, code, retrieve, study. The only room that sees archive and objects together."""

"""BigQuery's SQL without BigQuery: Google's own analyzer reads it, and its reference engine runs it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp
from sqlglot import exp
from zetasql.api import CatalogBuilder, TableBuilder, TypeFactory
from zetasql.core import ServerError, ZetaSqlLocalService
from zetasql.types import (
    AnalyzeRequest,
    AnalyzerOptions,
    EvaluateQueryRequest,
    LanguageFeature,
    LanguageOptions,
    NameResolutionMode,
    PrepareQueryRequest,
    ProductMode,
    ResolvedNodeKind,
    SimpleCatalog,
    TableContent,
    TableData,
    TypeKind,
    Value,
    ZetaSQLBuiltinFunctionOptions,
)
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2

from feature_sync.sql.dialects import dialect_named

# What of the language our queries need, each documented by BigQuery. With its maximum features the analyzer would also
# take what BigQuery refuses: ordering by arrays and JSON, grouping by arrays, comparing JSON.
FEATURES = [
    LanguageFeature.FEATURE_ADDITIONAL_STRING_FUNCTIONS,
    LanguageFeature.FEATURE_ALIASES_FOR_STRING_AND_DATE_FUNCTIONS,
    LanguageFeature.FEATURE_ANALYTIC_FUNCTIONS,
    LanguageFeature.FEATURE_BIGNUMERIC_TYPE,
    LanguageFeature.FEATURE_CIVIL_TIME,
    LanguageFeature.FEATURE_JSON_CONSTRUCTOR_FUNCTIONS,
    LanguageFeature.FEATURE_JSON_KEYS_FUNCTION,
    LanguageFeature.FEATURE_JSON_TYPE,
    LanguageFeature.FEATURE_NULLS_FIRST_LAST_IN_ORDER_BY,
    LanguageFeature.FEATURE_NUMERIC_TYPE,
    LanguageFeature.FEATURE_PARAMETERIZED_TYPES,
    LanguageFeature.FEATURE_SAFE_FUNCTION_CALL,
    LanguageFeature.FEATURE_WITH_ON_SUBQUERY,
]
_LANGUAGE = LanguageOptions(
    name_resolution_mode=NameResolutionMode.NAME_RESOLUTION_DEFAULT,
    product_mode=ProductMode.PRODUCT_EXTERNAL,
    enabled_language_features=FEATURES,
)
# Beside queries, the statements by which a push keeps its tables.
_STATEMENTS = [
    ResolvedNodeKind.RESOLVED_ALTER_TABLE_STMT,
    ResolvedNodeKind.RESOLVED_CREATE_SCHEMA_STMT,
    ResolvedNodeKind.RESOLVED_CREATE_TABLE_AS_SELECT_STMT,
    ResolvedNodeKind.RESOLVED_CREATE_TABLE_STMT,
    ResolvedNodeKind.RESOLVED_DROP_STMT,
    ResolvedNodeKind.RESOLVED_MERGE_STMT,
]
_FOR_STATEMENTS = [
    LanguageFeature.FEATURE_CREATE_TABLE_CLUSTER_BY,
    LanguageFeature.FEATURE_CREATE_TABLE_NOT_NULL,
    LanguageFeature.FEATURE_CREATE_TABLE_PARTITION_BY,
]
_FUNCTIONS = ZetaSQLBuiltinFunctionOptions(language_options=_LANGUAGE)
# Types by sqlglot's names for them.
_KINDS = {
    "BIGINT": TypeKind.TYPE_INT64,
    "INT": TypeKind.TYPE_INT64,
    "DOUBLE": TypeKind.TYPE_DOUBLE,
    "TEXT": TypeKind.TYPE_STRING,
    "BOOLEAN": TypeKind.TYPE_BOOL,
    "DECIMAL": TypeKind.TYPE_NUMERIC,
    "BIGDECIMAL": TypeKind.TYPE_BIGNUMERIC,
    "DATE": TypeKind.TYPE_DATE,
    "TIMESTAMPTZ": TypeKind.TYPE_TIMESTAMP,
    "TIMESTAMP": TypeKind.TYPE_DATETIME,
    "BINARY": TypeKind.TYPE_BYTES,
    "JSON": TypeKind.TYPE_JSON,
}
_EPOCH = date(1970, 1, 1)
_NUMERIC_SCALE = 9


class Refused(Exception):
    """The analyzer refuses a query, or the engine cannot run it."""


class GoogleSql:
    """Tables with BigQuery's types, and queries over them. The zone of sessions is what `set_zone` says."""

    adapter = "bigquery"
    dialect = dialect_named(adapter)

    def __init__(self):
        self._tables = {}
        self._rows = {}
        self._zone = "UTC"
        self._service = ZetaSqlLocalService.get_instance()

    def set_zone(self, zone: str) -> None:
        self._zone = zone

    def load(self, relation, rows: list[dict]) -> None:
        """Make a table with a relation's columns, and fill it; the engine fills only those outside data sets."""
        path = _path(relation)
        types = {
            column.name: exp.DataType.build(column.data_type, dialect="bigquery")
            for column in relation.columns.values()
        }
        table = TableBuilder(path[-1])
        for name, kind in types.items():
            table.add_column(name, _type(kind))
        self._tables[path] = table.build()
        cells = [TableData.Row(cell=[_cell(row[name], kind) for name, kind in types.items()]) for row in rows]
        self._rows[".".join(path)] = TableContent(table_data=TableData(row=cells))

    def analyse(self, sql: str) -> dict[str, str]:
        """Let the analyzer read a query: the names and types of its columns."""
        return {each.name: _kind(each.column.type) for each in self._columns(sql)}

    def keep(self, name: str, sql: str) -> None:
        """Make an empty table with the columns of a query."""
        path = tuple(part.name for part in exp.to_table(name, dialect="bigquery").parts)
        table = TableBuilder(path[-1])
        for each in self._columns(sql):
            table.add_column(each.name, each.column.type)
        self._tables[path] = table.build()

    def analyse_statement(self, sql: str) -> None:
        """Let the analyzer read a statement that changes something."""
        request = AnalyzeRequest(sql_statement=sql, options=self._options, simple_catalog=self._catalog).to_proto()
        language = request.options.language_options
        language.supported_statement_kinds.extend(map(int, _STATEMENTS))
        language.enabled_language_features.extend(map(int, _FOR_STATEMENTS))
        self._call("Analyze", request, local_service_pb2.AnalyzeResponse)

    def _columns(self, sql: str):
        request = AnalyzeRequest(sql_statement=sql, options=self._options, simple_catalog=self._catalog).to_proto()
        found = self._call("Analyze", request, local_service_pb2.AnalyzeResponse)
        return found.resolved_statement.resolved_query_stmt_node.output_column_list

    def fetch(self, sql: str) -> list[dict]:
        """Run a query."""
        request = PrepareQueryRequest(
            sql=sql, options=self._options, simple_catalog=self._catalog, table_content=self._rows
        )
        prepared = self._call("PrepareQuery", request.to_proto(), local_service_pb2.PrepareQueryResponse).prepared
        kinds = {each.name: _kind(each.type) for each in prepared.columns}
        number = prepared.prepared_query_id
        try:
            answer = self._call(
                "EvaluateQuery",
                EvaluateQueryRequest(prepared_query_id=number).to_proto(),
                local_service_pb2.EvaluateQueryResponse,
            )
        finally:
            self._service.unprepare_query(prepared_query_id=number)
        return [
            {name: _value(cell, kind) for (name, kind), cell in zip(kinds.items(), row.cell, strict=True)}
            for row in answer.content.table_data.row
        ]

    def _call(self, function: str, request, answer_type):
        """Call the analyzer's service; the wheel's own wrappers of its answers are slow, and lose timestamps."""
        try:
            return self._service.wasm_client.call_grpc_func(f"ZetaSqlLocalService_{function}", request, answer_type)
        except ServerError as refused:
            raise Refused(str(refused)) from refused

    @property
    def _options(self) -> AnalyzerOptions:
        return AnalyzerOptions(language_options=_LANGUAGE, default_timezone=self._zone)

    @property
    def _catalog(self):
        catalog = CatalogBuilder("all projects").with_builtin_functions(_FUNCTIONS).build()
        for (*folders, _), table in self._tables.items():
            inner = catalog
            for folder in folders:
                inner = _inside(inner, folder)
            inner.table.append(table)
        return catalog


def _kind(data_type) -> str:
    return TypeKind(data_type.type_kind).name.removeprefix("TYPE_")


def _inside(catalog: SimpleCatalog, name: str) -> SimpleCatalog:
    for each in catalog.catalog:
        if each.name == name:
            return each
    catalog.catalog.append(SimpleCatalog(name=name))
    return catalog.catalog[-1]


def _path(relation) -> tuple[str, ...]:
    """The names of project, data set and table."""
    return tuple(part.name for part in exp.to_table(relation.name, dialect="bigquery").parts)


def _type(parsed: exp.DataType):
    kind = parsed.this.name
    if kind == "ARRAY":
        return TypeFactory.create_array_type(_type(parsed.expressions[0]))
    if kind == "STRUCT":
        return TypeFactory.create_struct_type([(each.name, _type(each.args["kind"])) for each in parsed.expressions])
    return TypeFactory.create_simple_type(_KINDS[kind])


def _cell(value, kind: exp.DataType) -> Value:
    """Write a value as the engine's own protocol does."""
    name = kind.this.name
    if value is None:
        return Value()
    if name == "ARRAY":
        return Value(array_value=Value.Array(element=[_cell(each, kind.expressions[0]) for each in value]))
    field, convert = _FIELDS[name]
    return Value(**{field: convert(value)})


def _number(value: Decimal) -> bytes:
    scaled = int(value.scaleb(_NUMERIC_SCALE))
    return scaled.to_bytes(scaled.bit_length() // 8 + 1, "little", signed=True)


def _instant(value: datetime) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(value.astimezone(UTC).replace(tzinfo=None))
    return moment


def _civil(value: datetime) -> Value.Datetime:
    fields = (
        (value.year, 26),
        (value.month, 22),
        (value.day, 17),
        (value.hour, 12),
        (value.minute, 6),
        (value.second, 0),
    )
    return Value.Datetime(
        bit_field_datetime_seconds=sum(number << shift for number, shift in fields), nanos=value.microsecond * 1000
    )


def _value(cell, kind: str):
    """Read a value of the engine's protocol."""
    given = cell.WhichOneof("value")
    if given is None:
        return None
    content = getattr(cell, given)
    if kind == "ARRAY":
        return [_value(each, "") for each in content.element]
    return _READERS[kind](content) if kind in _READERS else content


def _wall_clock(content) -> datetime:
    bits = content.bit_field_datetime_seconds
    return datetime(
        bits >> 26, bits >> 22 & 15, bits >> 17 & 31, bits >> 12 & 31, bits >> 6 & 63, bits & 63, content.nanos // 1000
    )


_FIELDS = {
    "BIGINT": ("int64_value", int),
    "DOUBLE": ("double_value", float),
    "TEXT": ("string_value", str),
    "BOOLEAN": ("bool_value", bool),
    "DECIMAL": ("numeric_value", _number),
    "DATE": ("date_value", lambda value: (value - _EPOCH).days),
    "TIMESTAMPTZ": ("timestamp_value", _instant),
    "TIMESTAMP": ("datetime_value", _civil),
    "BINARY": ("bytes_value", bytes),
    "JSON": ("json_value", str),
}
_READERS = {
    "NUMERIC": lambda content: Decimal(int.from_bytes(content, "little", signed=True)).scaleb(-_NUMERIC_SCALE),
    "DATE": lambda content: _EPOCH + timedelta(days=content),
    "TIMESTAMP": lambda content: content.ToDatetime(tzinfo=UTC),
    "DATETIME": _wall_clock,
}

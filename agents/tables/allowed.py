"""What a statement may be made of: the kinds of node of its parsed form. Everything else is refused.

The names are those of classes in `sqlglot.expressions`; a function unknown to sqlglot is allowed by its own name. Left
out on purpose, beside all that reads or changes anything outside the tables: functions whose result is as long as a
number says (`repeat`, `lpad`, `range`), and functions that wait.
"""

from __future__ import annotations

__all__ = ("FUNCTIONS", "OTHER_FUNCTIONS", "SYNTAX")

# fmt: off
SYNTAX = frozenset({
    # queries
    "Select", "Union", "Except", "Intersect", "Subquery", "With", "CTE", "From", "Join", "Where", "Group", "Having",
    "Qualify", "Order", "Ordered", "Limit", "Offset", "Distinct", "Table", "TableAlias", "Alias", "Column",
    "Identifier", "Star", "Values", "Tuple", "Paren",
    # values
    "Literal", "Boolean", "Null", "Interval", "Var", "DataType", "DataTypeParam", "Cast", "TryCast", "Bracket",
    # conditions
    "Case", "If", "And", "Or", "Not", "EQ", "NEQ", "GT", "GTE", "LT", "LTE", "Is", "NullSafeEQ", "NullSafeNEQ", "In",
    "Between", "Exists", "Any", "All", "Like", "ILike", "SimilarTo", "Glob", "RegexpLike", "RegexpFullMatch", "Escape",
    # arithmetic
    "Add", "Sub", "Mul", "Div", "IntDiv", "Mod", "Neg", "DPipe",
    # windows and aggregates
    "Window", "WindowSpec", "Filter", "WithinGroup", "IgnoreNulls", "RespectNulls",
})
FUNCTIONS = frozenset({
    # aggregates
    "Count", "CountIf", "Sum", "Avg", "Min", "Max", "ArgMin", "ArgMax", "AnyValue", "First", "Last", "Median", "Mode",
    "Quantile", "PercentileCont", "PercentileDisc", "LogicalAnd", "LogicalOr", "Stddev", "StddevPop", "StddevSamp",
    "Variance", "VariancePop", "GroupConcat",
    # windows
    "RowNumber", "Rank", "DenseRank", "PercentRank", "CumeDist", "Ntile", "Lag", "Lead", "FirstValue", "LastValue",
    "NthValue",
    # numbers
    "Abs", "Ceil", "Floor", "Round", "Trunc", "Sign", "Sqrt", "Exp", "Ln", "Log", "Pow", "Greatest", "Least",
    # text
    "Upper", "Lower", "Trim", "Length", "Substring", "Left", "Right", "Replace", "Concat", "ConcatWs", "StartsWith",
    "EndsWith", "Contains", "StrPosition", "Split", "SplitPart", "Explode", "RegexpExtract", "RegexpReplace",
    # dates
    "CurrentDate", "DateDiff", "DateSub", "DateAdd", "DateTrunc", "TimestampTrunc", "Extract", "Year", "Quarter",
    "Month", "Week", "Day", "DayOfWeek", "DayOfWeekIso", "Dayname", "Monthname", "DayOfMonth", "DayOfYear", "Hour",
    "Minute", "Second", "TimeToStr", "StrToTime", "StrToDate", "DateFromParts", "LastDay",
    # other
    "Coalesce", "Nullif",
})
# fmt: on
OTHER_FUNCTIONS = frozenset({"date_part", "datepart", "try_strptime", "weekday"})

package schemas

// AppendStockDelta appends the record as a whole value: frame and Avro binary of the embedded schema, which the registry
// knows as id. It allocates nothing but what dst lacks, and may be called concurrently. Quantities beyond MilliMax are
// written as they are; decoders refuse them with ErrOverflow. It panics on an enum value that has no symbol.
func AppendStockDelta(dst []byte, id int, rec *StockDelta) []byte {
	dst = appendHeader(dst, id)
	dst = appendString(dst, rec.RecordID)
	dst = appendString(dst, rec.SKU)
	dst = appendString(dst, rec.Location)
	dst = appendSymbol(dst, modeSymbols, rec.Mode)
	dst = appendOptionalMilli(dst, rec.OnHand)
	dst = appendOptionalMilli(dst, rec.SafetyStockCount)
	if rec.Futures.Valid {
		dst = appendFutures(append(dst, branchValue), rec.Futures.Value)
	} else {
		dst = append(dst, branchNull)
	}
	dst = appendCount(dst, len(rec.Cleared))
	for _, f := range rec.Cleared {
		dst = appendSymbol(dst, stockFieldSymbols, f)
	}
	dst = appendEnd(dst)
	dst = appendOptionalMicros(dst, rec.EffectiveDate)
	return appendOptionalString(dst, rec.ExternalRefID)
}

func appendFutures(dst []byte, futures List[Future]) []byte {
	dst = appendCount(dst, len(futures))
	for _, f := range futures {
		dst = appendMilli(dst, f.Quantity)
		dst = appendLong(dst, int64(f.ExpectedDate))
	}
	return appendEnd(dst)
}

// AppendReservationEvent appends the record as a whole value, as AppendStockDelta does.
func AppendReservationEvent(dst []byte, id int, rec *ReservationEvent) []byte {
	dst = appendHeader(dst, id)
	dst = appendString(dst, rec.RequestID)
	dst = appendString(dst, rec.ReservationID)
	dst = appendString(dst, rec.SKU)
	dst = appendSymbol(dst, actionSymbols, rec.Action)
	dst = appendOptionalMilli(dst, rec.Quantity)
	dst = appendOptionalString(dst, rec.Location)
	dst = appendOptionalString(dst, rec.Group)
	dst = appendOptionalString(dst, rec.ToLocation)
	dst = appendOptionalString(dst, rec.ToGroup)
	dst = appendBool(dst, rec.AllowPartial)
	dst = appendBool(dst, rec.FulfillOnly)
	dst = appendBool(dst, rec.IgnoreAvailabilityCheck)
	dst = appendOptionalMicros(dst, rec.EventTime)
	dst = appendOptionalMicros(dst, rec.ExpiresAt)
	return appendOptionalString(dst, rec.ExternalRefID)
}

// AppendReservationResult appends the record as a whole value, as AppendStockDelta does.
func AppendReservationResult(dst []byte, id int, rec *ReservationResult) []byte {
	dst = appendHeader(dst, id)
	dst = appendString(dst, rec.RequestID)
	dst = appendString(dst, rec.ReservationID)
	dst = appendString(dst, rec.SKU)
	dst = appendSymbol(dst, actionSymbols, rec.Action)
	dst = appendSymbol(dst, outcomeSymbols, rec.Outcome)
	dst = appendMilli(dst, rec.Requested)
	dst = appendMilli(dst, rec.Granted)
	dst = appendOptionalString(dst, rec.ErrorCode)
	dst = appendOptionalString(dst, rec.Message)
	dst = appendStrings(dst, rec.TightGroups)
	return appendLong(dst, rec.Version)
}

func appendStrings(dst []byte, list List[string]) []byte {
	dst = appendCount(dst, len(list))
	for _, s := range list {
		dst = appendString(dst, s)
	}
	return appendEnd(dst)
}

// AppendAvailabilityUpdate appends the record as a whole value, as AppendStockDelta does.
func AppendAvailabilityUpdate(dst []byte, id int, rec *AvailabilityUpdate) []byte {
	dst = appendHeader(dst, id)
	dst = appendString(dst, rec.Place)
	dst = appendSymbol(dst, placeTypeSymbols, rec.PlaceType)
	dst = appendString(dst, rec.SKU)
	dst = appendMilli(dst, rec.OnHand)
	dst = appendMilli(dst, rec.Reserved)
	dst = appendMilli(dst, rec.GroupReserved)
	dst = appendMilli(dst, rec.SharedGroupReserved)
	dst = appendMilli(dst, rec.SafetyStockCount)
	dst = appendFutures(dst, rec.Futures)
	dst = appendMilli(dst, rec.FutureQuantity)
	dst = appendOptionalMicros(dst, rec.NextExpectedDate)
	dst = appendMilli(dst, rec.ATF)
	dst = appendMilli(dst, rec.ATO)
	dst = appendMilli(dst, rec.Shortfall)
	dst = appendOptionalMicros(dst, rec.EffectiveDate)
	dst = appendLong(dst, rec.GraphVersion)
	dst = appendLong(dst, rec.Version)
	return appendLong(dst, int64(rec.ComputedAt))
}

// AppendLocationGraph appends the record as a whole value, as AppendStockDelta does.
func AppendLocationGraph(dst []byte, id int, rec *LocationGraph) []byte {
	dst = appendHeader(dst, id)
	dst = appendLong(dst, rec.Version)
	dst = appendLong(dst, int64(rec.PublishedAt))
	dst = appendCount(dst, len(rec.Locations))
	for i := range rec.Locations {
		l := &rec.Locations[i]
		dst = appendString(dst, l.ExternalReference)
		dst = appendString(dst, l.Name)
		dst = appendString(dst, l.LocationType)
		dst = appendBool(dst, l.InventoryLocation)
		dst = appendBool(dst, l.Sync)
		dst = appendLong(dst, l.Since)
	}
	dst = appendEnd(dst)
	dst = appendCount(dst, len(rec.Groups))
	for i := range rec.Groups {
		g := &rec.Groups[i]
		dst = appendString(dst, g.ExternalReference)
		dst = appendString(dst, g.Name)
		dst = appendBool(dst, g.Enabled)
		dst = appendBool(dst, g.Sync)
		dst = appendStrings(dst, g.Locations)
	}
	return appendEnd(dst)
}

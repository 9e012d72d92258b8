package schemas

// The methods of reader in this file decode values written with a schema of the embedded shape. They take the fields in
// the order of the schema; the name given to each read is the one in the schema, for the error.

// Bytes that an array element takes at least: a decimal has a length and a digit, a string a length.
const (
	futureBytesMin   = 2 + 1
	stringBytesMin   = 1
	symbolBytesMin   = 1
	locationBytesMin = 3*stringBytesMin + 2 + 1
	groupBytesMin    = 2*stringBytesMin + 2 + 1
)

func (r *reader) stockDelta(into *StockDelta) {
	into.RecordID = r.string("recordId", into.RecordID)
	into.SKU = r.string("sku", into.SKU)
	into.Location = r.string("location", into.Location)
	into.Mode = Mode(r.index("mode", len(modeSymbols)))
	into.OnHand = r.optionalMilli("onHand")
	into.SafetyStockCount = r.optionalMilli("safetyStockCount")
	into.Futures = Optional[List[Future]]{}
	if r.index("futures", 2) == 1 {
		into.Futures = Some(r.futures("futures"))
	}
	into.Cleared = r.stockFields("cleared")
	into.EffectiveDate = r.optionalMicros("effectiveDate")
	into.ExternalRefID = r.optionalString("externalRefId", into.ExternalRefID)
}

func (r *reader) futures(at string) List[Future] {
	var list List[Future]
	for n := r.block(at, futureBytesMin); n > 0; n = r.block(at, futureBytesMin) {
		for list = grow(r, at, list, n); n > 0 && r.err == nil; n-- {
			list = append(list, Future{Quantity: r.milli("quantity"), ExpectedDate: r.micros("expectedDate")})
		}
	}
	return list
}

func (r *reader) stockFields(at string) List[StockField] {
	var list List[StockField]
	for n := r.block(at, symbolBytesMin); n > 0; n = r.block(at, symbolBytesMin) {
		for list = grow(r, at, list, n); n > 0 && r.err == nil; n-- {
			list = append(list, StockField(r.index(at, len(stockFieldSymbols))))
		}
	}
	return list
}

func (r *reader) strings(at string) List[string] {
	var list List[string]
	for n := r.block(at, stringBytesMin); n > 0; n = r.block(at, stringBytesMin) {
		for list = grow(r, at, list, n); n > 0 && r.err == nil; n-- {
			list = append(list, r.string(at, ""))
		}
	}
	return list
}

func (r *reader) reservationEvent(into *ReservationEvent) {
	into.RequestID = r.string("requestId", into.RequestID)
	into.ReservationID = r.string("reservationId", into.ReservationID)
	into.SKU = r.string("sku", into.SKU)
	into.Action = Action(r.index("action", len(actionSymbols)))
	into.Quantity = r.optionalMilli("quantity")
	into.Location = r.optionalString("location", into.Location)
	into.Group = r.optionalString("group", into.Group)
	into.ToLocation = r.optionalString("toLocation", into.ToLocation)
	into.ToGroup = r.optionalString("toGroup", into.ToGroup)
	into.AllowPartial = r.bool("allowPartial")
	into.FulfillOnly = r.bool("fulfillOnly")
	into.IgnoreAvailabilityCheck = r.bool("ignoreAvailabilityCheck")
	into.EventTime = r.optionalMicros("eventTime")
	into.ExpiresAt = r.optionalMicros("expiresAt")
	into.ExternalRefID = r.optionalString("externalRefId", into.ExternalRefID)
}

func (r *reader) reservationResult(into *ReservationResult) {
	into.RequestID = r.string("requestId", into.RequestID)
	into.ReservationID = r.string("reservationId", into.ReservationID)
	into.SKU = r.string("sku", into.SKU)
	into.Action = Action(r.index("action", len(actionSymbols)))
	into.Outcome = Outcome(r.index("outcome", len(outcomeSymbols)))
	into.Requested = r.milli("requested")
	into.Granted = r.milli("granted")
	into.ErrorCode = r.optionalString("errorCode", into.ErrorCode)
	into.Message = r.optionalString("message", into.Message)
	into.TightGroups = r.strings("tightGroups")
	into.Version = r.long("version")
}

func (r *reader) availabilityUpdate(into *AvailabilityUpdate) {
	into.Place = r.string("place", into.Place)
	into.PlaceType = PlaceType(r.index("placeType", len(placeTypeSymbols)))
	into.SKU = r.string("sku", into.SKU)
	into.OnHand = r.milli("onHand")
	into.Reserved = r.milli("reserved")
	into.GroupReserved = r.milli("groupReserved")
	into.SharedGroupReserved = r.milli("sharedGroupReserved")
	into.SafetyStockCount = r.milli("safetyStockCount")
	into.Futures = r.futures("futures")
	into.FutureQuantity = r.milli("futureQuantity")
	into.NextExpectedDate = r.optionalMicros("nextExpectedDate")
	into.ATF = r.milli("atf")
	into.ATO = r.milli("ato")
	into.Shortfall = r.milli("shortfall")
	into.EffectiveDate = r.optionalMicros("effectiveDate")
	into.GraphVersion = r.long("graphVersion")
	into.Version = r.long("version")
	into.ComputedAt = r.micros("computedAt")
}

func (r *reader) locationGraph(into *LocationGraph) {
	into.Version = r.long("version")
	into.PublishedAt = r.micros("publishedAt")
	into.Locations = nil
	for n := r.block("locations", locationBytesMin); n > 0; n = r.block("locations", locationBytesMin) {
		for into.Locations = grow(r, "locations", into.Locations, n); n > 0 && r.err == nil; n-- {
			into.Locations = append(into.Locations, r.location())
		}
	}
	into.Groups = nil
	for n := r.block("groups", groupBytesMin); n > 0; n = r.block("groups", groupBytesMin) {
		for into.Groups = grow(r, "groups", into.Groups, n); n > 0 && r.err == nil; n-- {
			into.Groups = append(into.Groups, r.locationGroup())
		}
	}
}

func (r *reader) location() Location {
	return Location{
		ExternalReference: r.string("externalReference", ""),
		Name:              r.string("name", ""),
		LocationType:      r.string("locationType", ""),
		InventoryLocation: r.bool("inventoryLocation"),
		Sync:              r.bool("sync"),
		Since:             r.long("since"),
	}
}

func (r *reader) locationGroup() LocationGroup {
	return LocationGroup{
		ExternalReference: r.string("externalReference", ""),
		Name:              r.string("name", ""),
		Enabled:           r.bool("enabled"),
		Sync:              r.bool("sync"),
		Locations:         r.strings("locations"),
	}
}

package schemas

// The methods of projection in this file give a record its values by field name. A field that the writer's schema lacks
// takes the default of the embedded schema; which fields have one is written here and there, and compared by a test.

func (p *projection) optionalMilli(rec native, name string) Optional[Milli] {
	v, ok := nullable(rec, name)
	if !ok {
		return Optional[Milli]{}
	}
	return Some(p.milli(name, v))
}

func (p *projection) optionalMicros(rec native, name string) Optional[Micros] {
	v, ok := nullable(rec, name)
	if !ok {
		return Optional[Micros]{}
	}
	return Some(p.micros(name, v))
}

func (p *projection) optionalString(rec native, name string) Optional[string] {
	v, ok := nullable(rec, name)
	if !ok {
		return Optional[string]{}
	}
	return Some(p.string(name, v))
}

func (p *projection) boolOr(rec native, name string, otherwise bool) bool {
	v, ok := rec.of(name)
	if !ok {
		return otherwise
	}
	return p.bool(name, v)
}

func (p *projection) requiredString(rec native, name string) string {
	return p.string(name, p.required(rec, name))
}

func (p *projection) requiredMilli(rec native, name string) Milli {
	return p.milli(name, p.required(rec, name))
}

func (p *projection) requiredLong(rec native, name string) int64 {
	return p.long(name, p.required(rec, name))
}

func (p *projection) requiredMicros(rec native, name string) Micros {
	return p.micros(name, p.required(rec, name))
}

func (p *projection) requiredSymbol(rec native, name string, symbols []string) int {
	return p.symbol(name, p.required(rec, name), symbols)
}

func (p *projection) strings(name string, v native) List[string] {
	return projectList(p, name, v, func(e native) string { return p.string(name, e) })
}

func (p *projection) futures(name string, v native) List[Future] {
	return projectList(p, name, v, func(e native) Future {
		return Future{Quantity: p.requiredMilli(e, "quantity"), ExpectedDate: p.requiredMicros(e, "expectedDate")}
	})
}

func (p *projection) stockFields(name string, v native) List[StockField] {
	return projectList(p, name, v, func(e native) StockField { return StockField(p.symbol(name, e, stockFieldSymbols)) })
}

func (p *projection) stockDelta(rec native, into *StockDelta) {
	*into = StockDelta{
		RecordID:         p.requiredString(rec, "recordId"),
		SKU:              p.requiredString(rec, "sku"),
		Location:         p.requiredString(rec, "location"),
		Mode:             Mode(p.requiredSymbol(rec, "mode", modeSymbols)),
		OnHand:           p.optionalMilli(rec, "onHand"),
		SafetyStockCount: p.optionalMilli(rec, "safetyStockCount"),
		EffectiveDate:    p.optionalMicros(rec, "effectiveDate"),
		ExternalRefID:    p.optionalString(rec, "externalRefId"),
	}
	if v, ok := nullable(rec, "futures"); ok {
		into.Futures = Some(p.futures("futures", v))
	}
	if v, ok := rec.of("cleared"); ok {
		into.Cleared = p.stockFields("cleared", v)
	}
}

func (p *projection) reservationEvent(rec native, into *ReservationEvent) {
	*into = ReservationEvent{
		RequestID:               p.requiredString(rec, "requestId"),
		ReservationID:           p.requiredString(rec, "reservationId"),
		SKU:                     p.requiredString(rec, "sku"),
		Action:                  Action(p.requiredSymbol(rec, "action", actionSymbols)),
		Quantity:                p.optionalMilli(rec, "quantity"),
		Location:                p.optionalString(rec, "location"),
		Group:                   p.optionalString(rec, "group"),
		ToLocation:              p.optionalString(rec, "toLocation"),
		ToGroup:                 p.optionalString(rec, "toGroup"),
		AllowPartial:            p.boolOr(rec, "allowPartial", true),
		FulfillOnly:             p.boolOr(rec, "fulfillOnly", false),
		IgnoreAvailabilityCheck: p.boolOr(rec, "ignoreAvailabilityCheck", false),
		EventTime:               p.optionalMicros(rec, "eventTime"),
		ExpiresAt:               p.optionalMicros(rec, "expiresAt"),
		ExternalRefID:           p.optionalString(rec, "externalRefId"),
	}
}

func (p *projection) reservationResult(rec native, into *ReservationResult) {
	*into = ReservationResult{
		RequestID:     p.requiredString(rec, "requestId"),
		ReservationID: p.requiredString(rec, "reservationId"),
		SKU:           p.requiredString(rec, "sku"),
		Action:        Action(p.requiredSymbol(rec, "action", actionSymbols)),
		Outcome:       Outcome(p.requiredSymbol(rec, "outcome", outcomeSymbols)),
		Requested:     p.requiredMilli(rec, "requested"),
		Granted:       p.requiredMilli(rec, "granted"),
		ErrorCode:     p.optionalString(rec, "errorCode"),
		Message:       p.optionalString(rec, "message"),
		TightGroups:   p.strings("tightGroups", p.required(rec, "tightGroups")),
		Version:       p.requiredLong(rec, "version"),
	}
}

func (p *projection) availabilityUpdate(rec native, into *AvailabilityUpdate) {
	*into = AvailabilityUpdate{
		Place:               p.requiredString(rec, "place"),
		PlaceType:           PlaceType(p.requiredSymbol(rec, "placeType", placeTypeSymbols)),
		SKU:                 p.requiredString(rec, "sku"),
		OnHand:              p.requiredMilli(rec, "onHand"),
		Reserved:            p.requiredMilli(rec, "reserved"),
		GroupReserved:       p.requiredMilli(rec, "groupReserved"),
		SharedGroupReserved: p.requiredMilli(rec, "sharedGroupReserved"),
		SafetyStockCount:    p.requiredMilli(rec, "safetyStockCount"),
		Futures:             p.futures("futures", p.required(rec, "futures")),
		FutureQuantity:      p.requiredMilli(rec, "futureQuantity"),
		NextExpectedDate:    p.optionalMicros(rec, "nextExpectedDate"),
		ATF:                 p.requiredMilli(rec, "atf"),
		ATO:                 p.requiredMilli(rec, "ato"),
		Shortfall:           p.requiredMilli(rec, "shortfall"),
		EffectiveDate:       p.optionalMicros(rec, "effectiveDate"),
		GraphVersion:        p.requiredLong(rec, "graphVersion"),
		Version:             p.requiredLong(rec, "version"),
		ComputedAt:          p.requiredMicros(rec, "computedAt"),
	}
}

func (p *projection) locationGraph(rec native, into *LocationGraph) {
	*into = LocationGraph{
		Version:     p.requiredLong(rec, "version"),
		PublishedAt: p.requiredMicros(rec, "publishedAt"),
		Locations:   projectList(p, "locations", p.required(rec, "locations"), p.location),
		Groups:      projectList(p, "groups", p.required(rec, "groups"), p.locationGroup),
	}
}

func (p *projection) location(rec native) Location {
	location := Location{
		ExternalReference: p.requiredString(rec, "externalReference"),
		Name:              p.requiredString(rec, "name"),
		LocationType:      p.requiredString(rec, "locationType"),
		InventoryLocation: p.boolOr(rec, "inventoryLocation", true),
		Sync:              p.boolOr(rec, "sync", true),
	}
	if v, ok := rec.of("since"); ok {
		location.Since = p.long("since", v)
	}
	return location
}

func (p *projection) locationGroup(rec native) LocationGroup {
	return LocationGroup{
		ExternalReference: p.requiredString(rec, "externalReference"),
		Name:              p.requiredString(rec, "name"),
		Enabled:           p.boolOr(rec, "enabled", true),
		Sync:              p.boolOr(rec, "sync", true),
		Locations:         p.strings("locations", p.required(rec, "locations")),
	}
}

/* Dublin Core (ISO 15836): what docx, odt and EPUB say of themselves in a part of XML. */
#ifndef MN_DOCUMENT_DUBLIN_CORE_H
#define MN_DOCUMENT_DUBLIN_CORE_H

#include "document/package.h"
#include "document/reading.h"

/* Gives the reading the first dc:title of the part that is not blank; NULL = no such part, and nothing is done. */
mn_status mn_dublin_core_title(mn_reading *r, const mn_package_member *part, mn_error *err);

#endif

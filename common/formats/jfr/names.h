/*
 * JFR names: what a person reads for a method. `java/util/Map.get` is java.util.Map.get; the parts
 * that the JVM, proxies and temporary files number anew in each process become `_`, so that one
 * function has one name in every recording:
 *
 *     a/B$$Lambda$62.0x00007f2090086d08        a.B$$Lambda_
 *     a.B$$Lambda$283+0x00007f0a38/671959170   a.B$$Lambda_
 *     java.lang.invoke.LambdaForm$MH/214194    java.lang.invoke.LambdaForm$MH_
 *     a/B+0x0000000800c01220                   a.B_
 *     …/GeneratedMethodAccessor31              ….GeneratedMethodAccessor_
 *     com/sun/proxy/$Proxy12                   com.sun.proxy.$Proxy_
 *     a/B$$EnhancerBySpringCGLIB$$1a2b         a.B$$EnhancerBySpringCGLIB$$_
 *     /tmp/libzstd-jni-1.5-16931311898282.so   libzstd-jni-1.5-_.so
 */
#ifndef HEARTH_FORMATS_JFR_NAMES_H
#define HEARTH_FORMATS_JFR_NAMES_H

#include "base/bytes.h"

/* Appends the class's (or library's) name as above. */
void jfr_class_name(struct bytes raw, struct buf *out);
/* The same of an object's class: "[B" is byte[], "[Ljava/lang/Object;" java.lang.Object[]. */
void jfr_type_name(struct bytes raw, struct buf *out);
/* Appends "class.method", or the method alone if the class is empty. */
void jfr_method_name(struct bytes class, struct bytes method, struct buf *out);

#endif
